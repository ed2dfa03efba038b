//! SW123: transparent huge pages. A hole of a few kilobytes then keeps two megabytes, and pages that
//! were handed back are filled in again.

use super::{Facts, bytes, share};
use crate::{Code, Confidence, Finding, Kind, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let huge: u64 = facts.processes.iter().map(|process| process.huge_bytes).sum();
    let slack = facts.service.ledger.slack().service;
    let inflated = huge.min(slack);
    if facts.share(huge) < thresholds::HUGE_MIN_SHARE || !facts.is_cause(inflated) {
        return None;
    }
    Some(Finding {
        code: Code::HugePages,
        kind: Kind::Pinned,
        pid: None,
        bytes: inflated,
        bytes_per_second: None,
        confidence: Confidence {
            value: 0.6,
            why: "huge pages and slack are both large; which slack lies in which is not told",
        },
        evidence: vec![
            bytes("huge_bytes", huge),
            share("huge_share", facts.share(huge)),
            bytes("slack_bytes", slack),
        ],
        advice: vec![advice::setting(
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
            "huge pages only where a program asks for them",
        )],
    })
}

#[cfg(test)]
mod tests {
    use slackwater_base::Class;

    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_when_huge_pages_and_slack_are_large() {
        let check = |huge: u64, slack: u64, fires: bool| {
            let scene = scene()
                .class(Class::LiveUnsplit, 200 * MIB - slack)
                .class(Class::SlackTrimmable, slack)
                .huge(huge);
            assert_eq!(scene.found(find).is_some(), fires, "{huge} {slack}");
        };
        check(50 * MIB, 16 * MIB, true);
        check(49 * MIB, 16 * MIB, false);
        check(50 * MIB, 15 * MIB, false);
    }
}
