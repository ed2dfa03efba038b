//! A recorded heap, whole and with words of it overwritten: no panic, no endless walk, and books that
//! still account for every byte they claim.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use slackwater_base::{Addr, Class};
use slackwater_heap::jemalloc::{JemallocError, Snapshot, Statistics, find_block, read_block, walk};
use slackwater_layout::jemalloc::LeafWord;
use slackwater_memory::{Image, MemoryExt};

use crate::held::{Walked, program};
use crate::recorded::{Harms, check_books, in_time, record, telling_words};

/// A heap at rest, and the words of it that a walk depends on.
struct Recording {
    image: Image,
    block: Snapshot,
    words: Vec<Addr>,
    totals: Statistics,
}

static RECORDING: LazyLock<Recording> = LazyLock::new(|| {
    let program = program("jemalloc_small", include_str!("../planted/jemalloc_small.c"));
    let target = program.env("MALLOC_CONF", "narenas:2").spawn().unwrap();
    let walked = Walked::whole(&target);
    let block = read_block(&walked.live, find_block(&walked.live, &walked.live).unwrap()).unwrap();
    let image = record(&walked.live);
    let words = telling_words(&image);
    Recording { image, block, words, totals: walked.totals }
});

#[test]
fn a_recording_reads_as_the_process_did() {
    let recording = &*RECORDING;
    let partial = walk(&recording.image, &recording.block).unwrap();
    assert_eq!(partial.gaps, []);
    assert_eq!(partial.value.totals, recording.totals);
}

#[test]
fn a_page_map_elsewhere_is_refused() {
    let recording = &*RECORDING;
    let refused = |change: fn(&mut Snapshot)| {
        let mut block = recording.block.clone();
        change(&mut block);
        walk(&recording.image, &block).unwrap_err()
    };
    assert_eq!(refused(|block| block.page_map = Addr(0)), JemallocError::NoPageMap);
    assert!(matches!(refused(|block| block.page_map = Addr(0x1000)), JemallocError::Unbalanced { .. }));
    assert!(matches!(refused(|block| block.arenas = Addr(0x1000)), JemallocError::ReadArenas { .. }));
    let other = refused(|block| block.page_map = block.page_map + 4096);
    assert!(matches!(other, JemallocError::Unbalanced { .. }), "{other:?}");
    let other = refused(|block| block.arenas = block.arenas + 8);
    assert!(matches!(other, JemallocError::Unbalanced { .. }), "{other:?}");
}

#[test]
fn a_word_that_lies_is_unexplained_with_a_gap() {
    let recording = &*RECORDING;
    let whole = walk(&recording.image, &recording.block).unwrap().value.heap;
    // The description of an extent says that it is somewhere else. It is in use: the page map names it, with the
    // extent's class above its address.
    let read = |at: Addr| recording.image.read_u64(at).unwrap_or(0);
    let of_pages = recording.words.iter().map(|&at| read(at)).filter(|word| word >> 48 != 0);
    let in_use: BTreeSet<Addr> = of_pages.filter_map(|word| LeafWord(word).extent()).collect();
    let starts: BTreeSet<u64> = whole.claims.iter().map(|claim| claim.start.0).collect();
    let described = in_use.iter().map(|&at| at + 8).find(|at| starts.contains(&read(*at)));
    let mut image = recording.image.clone();
    image.poke(described.unwrap(), &0x1000_u64.to_le_bytes());
    let partial = walk(&image, &recording.block).unwrap();
    assert!(partial.gaps.iter().any(|gap| gap.cause.contains("changed each time")), "{:?}", partial.gaps);
    assert!(partial.value.heap.ledger[Class::Unexplained].process > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fault_35_harm_is_survived(harms in Harms::any()) {
        let recording = &*RECORDING;
        let image = harms.done_to(&recording.image, &recording.words, 128);
        let walked = in_time(|| walk(&image, &recording.block))?;
        if let Ok(partial) = walked {
            check_books(&partial.value.heap, &image)?;
        }
    }
}
