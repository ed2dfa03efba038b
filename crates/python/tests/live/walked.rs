//! A planted program as `find` and the walk see it, and the identities that always hold.

use slackwater_base::Class;
use slackwater_heap::{Heap, pymalloc};
use slackwater_memory::MemoryExt;
use slackwater_python::{Interpreter, find};
use slackwater_remote::Live;

/// The Python of a process at rest, and the heap of each pymalloc in it.
pub(crate) struct Walked {
    pub(crate) python: Interpreter,
    pub(crate) heaps: Vec<Heap>,
}

impl Walked {
    /// Looks at a process at rest: nothing may be missing.
    pub(crate) fn of(live: &Live) -> Self {
        let found = find(live, live).unwrap().expect("a python");
        assert_eq!(found.gaps, []);
        let python = found.value;
        let heaps = python.pymalloc.iter().map(|state| {
            let walked = pymalloc::walk(live, state).unwrap();
            assert_eq!(walked.gaps, []);
            check_sums(live, &walked.value);
            walked.value
        });
        Self { heaps: heaps.collect(), python }
    }
}

/// Every resident byte of what the heap claims is in exactly one class of one arena.
pub(crate) fn check_sums(live: &Live, heap: &Heap) {
    let resident = heap.claims.iter().map(|&claim| live.resident(claim).unwrap()).sum();
    assert_eq!(heap.ledger.total(), resident);
    assert_eq!(
        heap.arenas.iter().map(|arena| arena.ledger.total()).sum::<slackwater_base::Resident>(),
        resident
    );
    assert_eq!(heap.pinned_by.total(), heap.ledger[Class::SlackPinned]);
}
