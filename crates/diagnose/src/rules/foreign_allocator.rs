//! SW130: an allocator whose books cannot be read from outside.

use slackwater_base::Class;
use slackwater_heap::Allocator;

use super::{Facts, bytes, count};
use crate::{Code, Confidence, Finding, Kind, MallocKind, ObjectAllocator, ProcessReport, advice};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let foreign: Vec<&ProcessReport> = facts.processes.iter().filter(|process| is_foreign(process)).collect();
    let first = foreign.first()?;
    let unread = foreign.iter().map(|process| process.ledger[Class::Unexplained].service).sum();
    let advice = match first.malloc.kind {
        MallocKind::Jemalloc | MallocKind::Slackwater | MallocKind::Mimalloc | MallocKind::Tcmalloc => {
            vec![advice::purge(facts.target)]
        }
        MallocKind::Musl => vec![advice::note("musl hands freed memory back early; look for growth instead")],
        _ => vec![advice::note("the mimalloc inside Python keeps its books per thread, in no known place")],
    };
    Some(Finding {
        code: Code::ForeignAllocator,
        kind: Kind::Undetermined,
        pid: None,
        bytes: unread,
        bytes_per_second: None,
        confidence: Confidence {
            value: 0.9,
            why: "told by the files that the process maps and what they export",
        },
        evidence: vec![count("processes", foreign.len()), bytes("unread_bytes", unread)],
        advice,
    })
}

fn is_foreign(process: &ProcessReport) -> bool {
    let malloc = match process.malloc.kind {
        MallocKind::Glibc | MallocKind::Unknown => false,
        // Ours, unless it is of a version that is not known here.
        MallocKind::Slackwater => super::malloc_heaps(process).all(|heap| !is_ours(&heap.allocator)),
        _ => true,
    };
    malloc || process.python.as_ref().is_some_and(|python| python.objects == ObjectAllocator::Mimalloc)
}

const fn is_ours(allocator: &Allocator) -> bool {
    matches!(allocator, Allocator::Slackwater { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn ours_is_foreign_only_when_it_could_not_be_read() {
        let scene = || scene().malloc(MallocKind::Slackwater);
        assert!(scene().found(find).is_some());
        assert!(scene().slackwater().found(find).is_none());
    }

    #[test]
    fn fires_on_every_allocator_but_glibcs() {
        for &kind in MallocKind::ALL {
            let fires = !matches!(kind, MallocKind::Glibc | MallocKind::Unknown);
            let finding = scene().malloc(kind).class(Class::Unexplained, 50 * MIB).found(find);
            assert_eq!(finding.map(|finding| finding.bytes), fires.then_some(50 * MIB), "{kind}");
        }
    }
}
