//! The clocks besides the monotonic one, to see whether anybody moved them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::void::Reason;

/// A step of the wall clock that is mentioned.
const NOTABLE_STEP_SECONDS: f64 = 0.5;
/// A sleep of the machine that spoils a trial.
const LONGEST_SLEEP_SECONDS: f64 = 0.1;

/// All clocks at one moment.
#[derive(Debug)]
pub(super) struct Clocks {
    monotonic: Instant,
    wall: SystemTime,
    /// Goes on while the machine sleeps.
    with_sleep: Duration,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let with_sleep =
            Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0));
        Self { monotonic: Instant::now(), wall: SystemTime::now(), with_sleep }
    }

    pub(super) fn unix_ms(&self) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// How far somebody moved the wall clock since, in seconds.
    pub(super) fn step(&self) -> Result<Option<f64>, Reason> {
        self.step_until(&Self::now())
    }

    fn step_until(&self, now: &Self) -> Result<Option<f64>, Reason> {
        let passed = (now.monotonic - self.monotonic).as_secs_f64();
        let slept = now.with_sleep.saturating_sub(self.with_sleep).as_secs_f64() - passed;
        if slept > LONGEST_SLEEP_SECONDS {
            return Err(Reason::Suspended { seconds: slept });
        }
        let wall = match now.wall.duration_since(self.wall) {
            Ok(forward) => forward.as_secs_f64(),
            Err(backward) => -backward.duration().as_secs_f64(),
        };
        let step = wall - passed;
        Ok((step.abs() > NOTABLE_STEP_SECONDS).then_some(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(passed: f64, wall: f64, with_sleep: f64) -> Result<Option<f64>, Reason> {
        let begun = Clocks::now();
        let wall = match wall {
            wall if wall < 0.0 => begun.wall - Duration::from_secs_f64(-wall),
            wall => begun.wall + Duration::from_secs_f64(wall),
        };
        let now = Clocks {
            monotonic: begun.monotonic + Duration::from_secs_f64(passed),
            wall,
            with_sleep: begun.with_sleep + Duration::from_secs_f64(with_sleep),
        };
        begun.step_until(&now)
    }

    #[test]
    fn fault_46_a_step_of_the_wall_clock_is_noted_and_a_sleep_spoils_the_trial() {
        assert_eq!(after(60.0, 60.01, 60.0).unwrap(), None);
        let near = |step: Option<f64>, expected: f64| (step.unwrap() - expected).abs() < 1e-3;
        assert!(near(after(60.0, 3660.0, 60.0).unwrap(), 3600.0));
        assert!(near(after(60.0, -40.0, 60.0).unwrap(), -100.0));
        assert!(matches!(after(60.0, 960.0, 960.0), Err(Reason::Suspended { seconds }) if seconds > 899.0));
    }
}
