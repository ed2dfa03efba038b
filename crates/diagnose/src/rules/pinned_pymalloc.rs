//! SW103: freed memory in pymalloc's arenas. An arena goes back only when all of it is free.

use slackwater_base::PinReason;
use slackwater_heap::Allocator;

use super::{Facts, bytes, count, share};
use crate::{Code, Finding, Kind, advice};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let pinned = facts.pinned(&[PinReason::Pools, PinReason::Blocks]);
    if !facts.is_much_slack(pinned) {
        return None;
    }
    let heaps = facts.processes.iter().flat_map(|process| &process.heaps).map(|report| &report.heap);
    let pymalloc = heaps.filter(|heap| matches!(heap.allocator, Allocator::Pymalloc));
    Some(Finding {
        code: Code::PinnedPymalloc,
        kind: Kind::Pinned,
        pid: None,
        bytes: pinned,
        bytes_per_second: None,
        confidence: facts.confidence(),
        evidence: vec![
            bytes("pools_bytes", facts.pinned(&[PinReason::Pools])),
            bytes("blocks_bytes", facts.pinned(&[PinReason::Blocks])),
            count("arenas", pymalloc.map(|heap| heap.arenas.len()).sum()),
            share("share_of_rss", facts.share(pinned)),
        ],
        advice: vec![advice::run_for_objects(facts.target), advice::prove(facts.target)],
    })
}

#[cfg(test)]
mod tests {
    use slackwater_base::Class;

    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_on_pymallocs_reasons_only() {
        let check = |reason: PinReason, pinned: u64, fires: bool| {
            let scene = scene().pinned(reason, pinned).class(Class::LivePython, 150 * MIB);
            assert_eq!(scene.found(find).is_some(), fires, "{reason:?} {pinned}");
        };
        check(PinReason::Pools, 50 * MIB, true);
        check(PinReason::Pools, 49 * MIB, false);
        check(PinReason::Blocks, 50 * MIB, true);
        check(PinReason::Holes, 50 * MIB, false);
    }
}
