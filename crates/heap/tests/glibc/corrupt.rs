//! Recorded heaps, whole and with words of them overwritten: no panic, no endless walk, and books
//! that still account for every byte they claim.

use std::sync::LazyLock;

use proptest::prelude::*;
use slackwater_base::{Addr, Class, PAGE_SIZE, Range, Tid};
use slackwater_heap::{ArenaKind, glibc};
use slackwater_memory::{Image, Kind, Memory, MemoryError, MemoryExt, Page};

use crate::held::{Books, Walked, program};
use crate::recorded::{Harms, check_books, in_time, record, telling_words};

/// A heap at rest, and the words of it that a walk depends on.
struct Recording {
    image: Image,
    threads: Vec<Tid>,
    words: Vec<Addr>,
    books: Books,
}

static RECORDING: LazyLock<Recording> = LazyLock::new(|| {
    let mut target = program("small", include_str!("../planted/small.c")).spawn().unwrap();
    let walked = Walked::whole(&target);
    let image = record(&walked.live);
    let words = telling_words(&image);
    let threads = walked.live.threads().unwrap();
    Recording { image, threads, words, books: Books::of_glibc(&mut target) }
});

#[test]
fn a_recording_reads_as_the_process_did() {
    let recording = &*RECORDING;
    let partial = glibc::walk(&recording.image, &recording.threads).unwrap().unwrap();
    assert_eq!(partial.gaps, []);
    assert_eq!(Books::of_walk(&partial.value), recording.books);
}

#[test]
fn headers_on_swap_leave_a_gap() {
    let recording = &*RECORDING;
    let mut image = recording.image.clone();
    let heap = image.mappings().iter().find(|mapping| mapping.kind == Kind::Heap).unwrap().range;
    image.set_pages(Range::sized(heap.start + 2 * PAGE_SIZE, 1), Page::SWAPPED);
    let partial = glibc::walk(&image, &recording.threads).unwrap().unwrap();
    assert!(partial.gaps.iter().any(|gap| gap.cause.contains("swapped out")), "{:?}", partial.gaps);
    let main = partial.value.arenas.iter().find(|arena| arena.kind == ArenaKind::Main).unwrap();
    assert_eq!(main.ledger[Class::Unexplained], main.ledger.total());
    let secondary = partial.value.arenas.iter().filter(|arena| arena.kind == ArenaKind::Secondary);
    assert_eq!(secondary.filter(|arena| arena.glibc.is_some()).count(), 2, "the others are read");
}

#[test]
fn data_on_swap_is_an_answer() {
    let recording = &*RECORDING;
    let mut image = recording.image.clone();
    let data: Vec<Range> = image
        .mappings()
        .iter()
        .filter(|mapping| mapping.file().is_some())
        .map(|mapping| mapping.range)
        .collect();
    for range in data {
        image.set_pages(range, Page::SWAPPED);
    }
    let error = glibc::walk(&image, &recording.threads).unwrap_err();
    assert!(matches!(error, glibc::GlibcError::Memory(MemoryError::Swapped(_))), "{error:?}");
}

#[test]
fn a_heap_that_balances_no_more_is_unexplained() {
    let recording = &*RECORDING;
    let whole = glibc::walk(&recording.image, &recording.threads).unwrap().unwrap().value;
    let main = whole.arenas.iter().find(|arena| arena.kind == ArenaKind::Main).unwrap();
    let claim =
        whole.claims.iter().find(|claim| claim.contains(main.glibc.unwrap().top.unwrap().range.start));
    let first_free = first_free_chunk(&recording.image, *claim.unwrap());
    // Its link forward leads to itself: the list is no list.
    let mut image = recording.image.clone();
    image.poke(first_free + 16, &first_free.0.to_le_bytes());
    let partial = glibc::walk(&image, &recording.threads).unwrap().unwrap();
    assert_eq!(partial.gaps.len(), 1, "{:?}", partial.gaps);
    assert_eq!(partial.gaps[0].cause, "the free chunks are not those in its bins");
    let main = partial.value.arenas.iter().find(|arena| arena.kind == ArenaKind::Main).unwrap();
    assert_eq!(main.ledger[Class::Unexplained], main.ledger.total());
    assert_eq!(partial.value.ledger.total(), whole.ledger.total(), "nothing is lost");
}

fn first_free_chunk(image: &Image, extent: Range) -> Addr {
    let mut at = extent.start;
    loop {
        let next = at + (image.read_u64(at + 8).unwrap() & !7);
        if image.read_u64(next + 8).unwrap() & 1 == 0 {
            return at;
        }
        at = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fault_35_harm_is_survived(harms in Harms::any()) {
        let recording = &*RECORDING;
        let image = harms.done_to(&recording.image, &recording.words, 16);
        let walked = in_time(|| glibc::walk(&image, &recording.threads))?;
        if let Ok(Some(partial)) = walked {
            check_books(&partial.value, &image)?;
        }
    }
}
