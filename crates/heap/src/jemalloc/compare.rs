//! The walk held against jemalloc's own statistics.

use slackwater_base::{Bytes, Gap};
use slackwater_layout::slackwater::Statistics;

/// Differences below this are the target going on meanwhile.
const TOLERANCE_BYTES: u64 = 4 << 20;
/// And below one part in this many.
const TOLERANCE_SHARE: u64 = 20;

/// Where the sums of a walk disagree with the statistics taken `before` it and `after` it, by more
/// than the target can have changed meanwhile. Statistics that were not taken anew in between are of
/// some other time, and say nothing.
#[must_use]
pub fn disagreement(totals: &Statistics, before: &Statistics, after: &Statistics) -> Option<Gap> {
    if before.taken_ns == after.taken_ns {
        return None;
    }
    let sums = |of: &Statistics| {
        [
            ("allocated", of.allocated_bytes),
            ("active", of.active_bytes),
            ("unused", of.dirty_bytes + of.muzzy_bytes),
        ]
    };
    let looks = sums(totals).into_iter().zip(sums(before)).zip(sums(after));
    let (what, walked, said) =
        looks.into_iter().find_map(|(((what, walked), (_, before)), (_, after))| {
            let (low, high) = (before.min(after), before.max(after));
            // What it changed between two looks it may have changed and undone in between.
            let room = (high - low).max(TOLERANCE_BYTES).max(high / TOLERANCE_SHARE);
            (walked + room < low || walked > high + room).then_some((what, walked, after))
        })?;
    let cause = format!("its page map has {} {what}, its own statistics say {}", Bytes(walked), Bytes(said));
    Some(Gap::new("slackwater's heap", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_target_cannot_have_changed_is_a_gap() {
        const MIB: u64 = 1 << 20;
        let at = |taken_ns, mib| Statistics { taken_ns, active_bytes: mib * MIB, ..Statistics::default() };
        let check = |walked: u64, before: u64, after: u64, differs: bool| {
            let gap = disagreement(&at(0, walked), &at(1, before), &at(2, after));
            assert_eq!(gap.is_some(), differs, "{walked} {before} {after}");
        };
        check(100, 100, 100, false);
        check(103, 100, 100, false);
        check(106, 100, 100, true);
        check(94, 100, 100, true);
        check(140, 100, 130, false);
        check(170, 100, 130, true);
        check(1020, 1000, 1000, false);
        assert_eq!(disagreement(&at(0, 500), &at(1, 100), &at(1, 100)), None, "statistics of another time");
    }
}
