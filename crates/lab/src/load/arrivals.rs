//! The open model: when request n is due, whatever the service does.
//!
//! Invariant: due times never fall, and follow from the steps alone.

use std::time::Duration;

use super::generator::{Next, Pace};
use crate::plan::Step;

/// Requests at constant rates, one rate after the other.
#[derive(Debug)]
pub(super) struct Arrivals {
    steps: Vec<Placed>,
    total: Duration,
    /// The next request to be sent.
    next: u64,
}

/// A step with its place in the whole.
#[derive(Debug)]
struct Placed {
    from: Duration,
    rate_per_second: f64,
    /// The number of its first request.
    first: u64,
    /// One above the number of its last request.
    end: u64,
}

impl Arrivals {
    /// The first request of each step is due when the step begins.
    pub(super) fn new(steps: &[Step]) -> Self {
        let (mut from, mut first) = (Duration::ZERO, 0);
        let mut placed = Vec::with_capacity(steps.len());
        for step in steps {
            // 0.07 s at 100 per second are 7 requests, not 8 because 0.07 * 100.0 is a little above 7.
            let n_requests =
                (step.duration.as_secs_f64() * step.rate_per_second - 1e-6).ceil().max(0.0) as u64;
            let end = first + n_requests;
            placed.push(Placed { from, rate_per_second: step.rate_per_second, first, end });
            (from, first) = (from + step.duration, end);
        }
        Self { steps: placed, total: from, next: 0 }
    }

    /// When request `n` is due, since the load began; `None` for a request that will never be.
    fn due(&self, n: u64) -> Option<Duration> {
        let step = self.steps.iter().find(|step| n < step.end)?;
        Some(step.from + Duration::from_secs_f64((n - step.first) as f64 / step.rate_per_second))
    }
}

impl Pace for Arrivals {
    fn next(&mut self, now: Duration) -> Next {
        match self.due(self.next) {
            Some(due) if due <= now => {
                self.next += 1;
                Next::Send { due }
            }
            Some(due) => Next::At(due),
            None if now < self.total => Next::At(self.total),
            None => Next::End,
        }
    }

    fn ended(&mut self, _now: Duration, _was_answered: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: &[(f64, f64)]) -> Arrivals {
        let steps: Vec<_> = steps
            .iter()
            .map(|&(rate_per_second, seconds)| Step {
                rate_per_second,
                duration: Duration::from_secs_f64(seconds),
            })
            .collect();
        Arrivals::new(&steps)
    }

    fn check(arrivals: &Arrivals, n: u64, expected_ms: Option<u64>) {
        let due_ms = arrivals.due(n).map(|due| (due.as_secs_f64() * 1e3).round() as u64);
        assert_eq!(due_ms, expected_ms, "request {n}");
    }

    #[test]
    fn a_rate_spaces_requests_evenly() {
        let arrivals = steps(&[(20.0, 30.0)]);
        check(&arrivals, 0, Some(0));
        check(&arrivals, 1, Some(50));
        check(&arrivals, 599, Some(29_950));
        check(&arrivals, 600, None);
    }

    #[test]
    fn each_step_begins_where_the_last_one_ended() {
        let arrivals = steps(&[(10.0, 2.0), (40.0, 1.0), (0.5, 4.0)]);
        check(&arrivals, 19, Some(1900));
        check(&arrivals, 20, Some(2000));
        check(&arrivals, 21, Some(2025));
        check(&arrivals, 60, Some(3000));
        check(&arrivals, 61, Some(5000));
        check(&arrivals, 62, None);
    }

    #[test]
    fn rounding_adds_no_request() {
        for (rate, seconds, expected) in
            [(100.0, 0.07, 7), (3.0, 0.1, 1), (1000.0, 0.0015, 2), (7.0, 3.0, 21)]
        {
            let arrivals = steps(&[(rate, seconds)]);
            assert_eq!(arrivals.steps[0].end, expected, "{rate}/s for {seconds} s");
        }
    }

    #[test]
    fn a_stall_makes_requests_wait_but_moves_none() {
        let mut arrivals = steps(&[(10.0, 1.0)]);
        let at = Duration::from_millis;
        assert_eq!(arrivals.next(at(0)), Next::Send { due: at(0) });
        assert_eq!(arrivals.next(at(0)), Next::At(at(100)));
        // Nobody came for a while: what was due meanwhile is still due when it was.
        assert_eq!(arrivals.next(at(250)), Next::Send { due: at(100) });
        assert_eq!(arrivals.next(at(250)), Next::Send { due: at(200) });
        assert_eq!(arrivals.next(at(250)), Next::At(at(300)));
    }

    #[test]
    fn the_end_is_that_of_the_last_step_not_of_the_last_request() {
        let mut arrivals = steps(&[(1.0, 0.5)]);
        assert_eq!(arrivals.next(Duration::ZERO), Next::Send { due: Duration::ZERO });
        assert_eq!(arrivals.next(Duration::from_millis(1)), Next::At(Duration::from_millis(500)));
        assert_eq!(arrivals.next(Duration::from_millis(500)), Next::End);
    }
}
