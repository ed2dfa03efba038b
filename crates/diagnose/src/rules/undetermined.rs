//! SW190: too much could not be explained for any other verdict to stand.

use slackwater_base::Class;

use super::{Facts, bytes, count, share};
use crate::{Code, Confidence, Finding, Kind, Scope, Subject, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let unexplained = facts.class(Class::Unexplained);
    let part = facts.share(unexplained);
    if unexplained < thresholds::UNEXPLAINED_MIN_BYTES || part <= thresholds::UNEXPLAINED_MAX_SHARE {
        return None;
    }
    let unread = facts.processes.iter().filter(|process| process.scope != Scope::Heaps).count();
    let gaps = facts.processes.iter().map(|process| process.gaps.len()).sum();
    Some(Finding {
        code: Code::Undetermined,
        kind: Kind::Undetermined,
        pid: None,
        bytes: unexplained,
        bytes_per_second: facts.growing(Subject::Class(Class::Unexplained)),
        confidence: Confidence {
            value: 0.95,
            why: "these bytes are resident, and nothing known accounts for them",
        },
        evidence: vec![
            bytes("unexplained_bytes", unexplained),
            share("share_of_rss", part),
            count("unread_processes", unread),
            count("gaps", gaps),
        ],
        advice: vec![advice::doctor(facts.target)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_above_a_fifth_of_rss() {
        let check = |unexplained: u64, live: u64, fires: bool| {
            let scene = scene().class(Class::Unexplained, unexplained).class(Class::LiveUnsplit, live);
            assert_eq!(scene.found(find).is_some(), fires, "{unexplained} {live}");
        };
        check(51 * MIB, 200 * MIB, true);
        check(50 * MIB, 200 * MIB, false);
        check(15 * MIB, 10 * MIB, false);
        check(16 * MIB, 10 * MIB, true);
    }
}
