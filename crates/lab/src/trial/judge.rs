//! Whether what the generator saw in a round says anything about the service.
//!
//! Invariant: a wrong answer always voids; so does what the generator did wrong, once it could be seen in
//! the latencies.

use super::void::Reason;
use crate::plan::Load;
use crate::result::Answers;

/// One request in a hundred may be sent this late after it was due in any case.
const LATE_SECONDS: f64 = 0.010;
/// And this share of the 99th percentile of latency, which the lateness is a part of.
const LATE_SHARE: f64 = 0.1;
/// Requests without an answer that a trial may have, in a hundred.
const UNANSWERED_PERCENT: u64 = 1;

/// Refuses a round that says nothing.
pub(super) fn judge(answers: &Answers, load: &Load) -> Result<(), Reason> {
    if answers.n_wrong > 0 {
        return Err(Reason::Wrong {
            n_wrong: answers.n_wrong,
            n_due: answers.n_due,
            example: answers.example_of_wrong.clone().unwrap_or_default(),
        });
    }
    let n_unanswered = answers.n_timeouts + answers.n_failed;
    if answers.n_right == 0 || n_unanswered * 100 > answers.n_due * UNANSWERED_PERCENT {
        return Err(Reason::Unanswered {
            n_timeouts: answers.n_timeouts,
            n_failed: answers.n_failed,
            n_due: answers.n_due,
        });
    }
    let bearable = LATE_SECONDS.max(LATE_SHARE * answers.latency.p99);
    if matches!(load, Load::Open { .. }) && answers.late_p99_seconds > bearable {
        return Err(Reason::Late { late_p99_seconds: answers.late_p99_seconds });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Http;
    use crate::result::Latency;
    use std::time::Duration;

    fn check(late_p99_seconds: f64, p99: f64, is_late: bool) {
        let http = Http { requests: Vec::new(), connections: 1, timeout: Duration::from_secs(1) };
        let answers = Answers {
            n_due: 100,
            n_right: 100,
            n_resent: 0,
            n_wrong: 0,
            n_timeouts: 0,
            n_failed: 0,
            late_p99_seconds,
            right_per_second: 10.0,
            example_of_wrong: None,
            latency_us_hdr: String::new(),
            latency: Latency { p99, ..Latency::default() },
        };
        let open = Load::Open { steps: Vec::new(), http };
        let was_late = matches!(judge(&answers, &open), Err(Reason::Late { .. }));
        assert_eq!(was_late, is_late, "{late_p99_seconds} s late of {p99} s");
        assert!(judge(&answers, &Load::Work).is_ok());
    }

    #[test]
    fn lateness_voids_once_the_latencies_would_show_it() {
        check(0.009, 0.020, false);
        check(0.011, 0.020, true);
        check(0.011, 0.500, false);
        check(0.051, 0.500, true);
    }
}
