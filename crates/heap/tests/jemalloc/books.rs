//! Blocks, pages and caches, to the last byte of jemalloc's own statistics.

use slackwater_base::{Class, PinReason};
use slackwater_heap::jemalloc::Statistics;

use crate::held::{Walked, books, program};

const MIXED: &str = include_str!("../planted/jemalloc_mixed.c");
const CACHES: &str = include_str!("../planted/jemalloc_caches.c");

/// What both sides can say.
fn compared(of: Statistics) -> [u64; 6] {
    [of.allocated_bytes, of.active_bytes, of.dirty_bytes, of.muzzy_bytes, of.retained_bytes, of.cached_bytes]
}

#[test]
fn fault_43_blocks_of_all_sizes() {
    // Four arenas, pages that are left to the kernel, blocks that begin at their page.
    for options in
        ["", "narenas:4", "dirty_decay_ms:1,muzzy_decay_ms:-1", "cache_oblivious:false", "tcache:false"]
    {
        let mut target = program("jemalloc_mixed", MIXED).env("MALLOC_CONF", options).spawn().unwrap();
        let walked = Walked::whole(&target);
        assert_eq!(compared(walked.totals), compared(books(&mut target)), "{options}");
        let [count, bytes] = target.greeting_numbers().try_into().unwrap();
        // The loader and the C library hold some blocks besides.
        let (others, other_bytes) = (walked.heap.live.count - count, walked.heap.live.bytes - bytes);
        assert!(others < 100 && other_bytes < 200 << 10, "{options}: {others} blocks, {other_bytes} bytes");
        assert!(walked.bytes(Class::LiveUnsplit) <= walked.heap.live.bytes);
        assert!(walked.bytes(Class::LiveUnsplit) > bytes - (4 << 20), "every page was touched");
    }
}

#[test]
fn fault_43_metadata_is_overhead() {
    let mut target = program("jemalloc_mixed", MIXED).spawn().unwrap();
    let walked = Walked::whole(&target);
    let metadata = books(&mut target).metadata_bytes;
    let overhead = walked.bytes(Class::AllocatorOverhead);
    // jemalloc counts what it has taken for its books, touched or not. The ends of large blocks'
    // pages are overhead here, and live there.
    assert!(overhead > 512 << 10 && overhead < metadata + (8 << 20), "{overhead} of {metadata}");
}

#[test]
fn fault_43_blocks_in_thread_caches_are_slack() {
    for n_threads in ["1", "20"] {
        let mut target = program("jemalloc_caches", CACHES).arg(n_threads).spawn().unwrap();
        let walked = Walked::whole(&target);
        let said = books(&mut target);
        assert_eq!(compared(walked.totals), compared(said), "{n_threads} threads");
        assert!(said.cached_bytes > 10 << 10, "the caches hold blocks");
        let cached = walked.heap.pinned_by[PinReason::Caches].process;
        assert!(cached <= said.cached_bytes && cached * 10 > said.cached_bytes * 6, "{cached} of {said:?}");
        let live = walked.heap.live.count - target.greeting_numbers()[0];
        assert!(live < 300, "{live} blocks of others");
    }
}
