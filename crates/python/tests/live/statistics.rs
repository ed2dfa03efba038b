//! The walk of pymalloc against the interpreter's own statistics, to the byte, on every interpreter
//! found.

use crate::oracle::Statistics;
use crate::planted::Planted;
use crate::walked::Walked;
use slackwater_base::{Class, PinReason};
use slackwater_heap::Heap;
use slackwater_python::Backend;
use slackwater_testkit::interpreters;

/// Holds a heap to what the interpreter says of it. Where all memory is locked, resident bytes are
/// all bytes; elsewhere some of those that were never written are absent.
fn check(heap: &Heap, said: &Statistics, locked: bool) {
    assert_eq!(heap.arenas.len() as u64, said.arenas);
    assert_eq!(heap.claims.iter().map(|claim| claim.len()).sum::<u64>(), said.arena_bytes);
    assert_eq!((heap.live.count, heap.live.bytes), (said.live_blocks, said.live_bytes));
    let ours = [
        heap.ledger[Class::LivePython],
        heap.pinned_by[PinReason::Blocks],
        heap.pinned_by[PinReason::Pools],
        heap.ledger[Class::AllocatorOverhead],
    ];
    let ours = ours.map(|resident| resident.process);
    let overhead = said.header_bytes + said.quantization_bytes + said.alignment_bytes;
    let theirs = [said.live_bytes, said.available_bytes, said.unused_pool_bytes, overhead];
    if locked {
        assert_eq!(ours, theirs, "live, available, unused pools, overhead");
    } else {
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert!(ours <= theirs, "{ours} resident of {theirs}");
        }
    }
}

#[test]
fn fault_43_every_interpreter_agrees_to_the_byte() {
    for interpreter in interpreters().iter().filter(|one| !one.is_free_threaded()) {
        let mut planted = Planted::start(interpreter, &[]);
        planted.plant();
        for _ in ["planted", "thinned out"] {
            let said = planted.statistics();
            let Walked { python, heaps } = Walked::of(&planted.open());
            assert_eq!(python.version.to_string(), interpreter.version().to_string());
            assert_eq!(python.build.debug, interpreter.is_debug());
            let domains = python.domains.expect("the allocators' table");
            assert_eq!(domains.raw.backend, Backend::Malloc);
            for domain in [domains.mem, domains.obj] {
                assert_eq!(domain.backend, Backend::Pymalloc);
                assert_eq!(domain.debug_hooks, interpreter.is_debug());
                assert!(!domain.hooked);
            }
            assert_eq!(heaps.len(), 1);
            check(&heaps[0], &said, planted.locked);
            planted.thin_out();
        }
    }
}
