//! SW102: freed memory in malloc's heaps that a trim does not hand back.

use slackwater_base::PinReason;

use super::{Facts, bytes, share};
use crate::{Code, Finding, Kind, advice};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let reasons = [PinReason::Holes, PinReason::Tops, PinReason::Caches];
    let pinned = facts.pinned(&reasons);
    if !facts.is_much_slack(pinned) {
        return None;
    }
    let tops = facts.pinned(&[PinReason::Tops]);
    let mut advice = Vec::new();
    if facts.is_cause(tops) {
        advice.push(advice::trim_deep(facts.target, tops));
    }
    if facts.are_all_ours() {
        advice.push(advice::note(
            "live blocks share these pages: only freeing them, or a restart, gives them back",
        ));
    } else {
        advice.extend([advice::run(facts.target), advice::prove(facts.target)]);
    }
    Some(Finding {
        code: Code::PinnedGlibc,
        kind: Kind::Pinned,
        pid: None,
        bytes: pinned,
        bytes_per_second: None,
        confidence: facts.confidence(),
        evidence: vec![
            bytes("holes_bytes", facts.pinned(&[PinReason::Holes])),
            bytes("tops_bytes", tops),
            bytes("caches_bytes", facts.pinned(&[PinReason::Caches])),
            share("share_of_rss", facts.share(pinned)),
        ],
        advice,
    })
}

#[cfg(test)]
mod tests {
    use slackwater_base::Class;

    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_on_glibcs_reasons_only() {
        let check = |reason: PinReason, pinned: u64, live: u64, fires: bool| {
            let scene = scene().pinned(reason, pinned).class(Class::LiveUnsplit, live);
            assert_eq!(scene.found(find).is_some(), fires, "{reason:?} {pinned} {live}");
        };
        check(PinReason::Holes, 50 * MIB, 150 * MIB, true);
        check(PinReason::Holes, 49 * MIB, 150 * MIB, false);
        check(PinReason::Tops, 50 * MIB, 150 * MIB, true);
        check(PinReason::Caches, 50 * MIB, 150 * MIB, true);
        check(PinReason::Pools, 50 * MIB, 150 * MIB, false);
        check(PinReason::Blocks, 50 * MIB, 150 * MIB, false);
    }

    #[test]
    fn a_deep_trim_is_advised_only_for_tops() {
        let deep = |reason| {
            let finding = scene().pinned(reason, 100 * MIB).found(find).unwrap();
            finding.advice.iter().any(|advice| advice.command.ends_with("--deep"))
        };
        assert!(deep(PinReason::Tops));
        assert!(!deep(PinReason::Holes));
    }
}
