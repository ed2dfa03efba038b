//! Recorded heaps: made of a process at rest, what is done to them, and what must hold of the books of
//! every walk over them.

use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::Index;
use slackwater_base::{Addr, Class, PAGE_SIZE, Range};
use slackwater_heap::Heap;
use slackwater_memory::{Image, Mapping, Memory, MemoryExt, Page};
use slackwater_remote::Live;

/// Copies all writable private memory.
pub(crate) fn record(live: &Live) -> Image {
    let mut image = Image::new();
    let mut absent = Vec::new();
    let is_recorded = |mapping: &&Mapping| {
        mapping.is_anonymous_data() || (mapping.file().is_some() && mapping.access.write)
    };
    for mapping in live.mappings().iter().filter(is_recorded) {
        let mut bytes = vec![0; mapping.range.len() as usize];
        live.read(mapping.range.start, &mut bytes).unwrap();
        image = image.map(mapping.range.start, bytes, mapping.kind.clone());
        let mut pages = Vec::new();
        live.pages(mapping.range, &mut pages).unwrap();
        let starts = (0..).map(|index| mapping.range.start + index * PAGE_SIZE);
        absent.extend(starts.zip(&pages).filter(|(_, page)| !page.is_resident()).map(|(at, _)| at));
    }
    for page in absent {
        image.set_pages(Range::sized(page, 1), Page::ABSENT);
    }
    image
}

/// Words that are neither zero nor the blocks' filling: sizes, links, counts, pointers, words of maps.
pub(crate) fn telling_words(image: &Image) -> Vec<Addr> {
    let mut words = Vec::new();
    for mapping in image.mappings() {
        let mut at = mapping.range.start;
        while at < mapping.range.end {
            if !matches!(image.read_u64(at), Ok(0 | 0x5555_5555_5555_5555) | Err(_)) {
                words.push(at);
            }
            at = at + 8;
        }
    }
    words
}

/// What to write over a word.
#[derive(Clone, Debug)]
enum Harm {
    Flip(u32),
    Value(u64),
    /// The address of another such word, rounded down.
    Link(Index),
    Grow(u32),
}

/// Some words, and what to do to each.
#[derive(Clone, Debug)]
pub(crate) struct Harms(Vec<(Index, Harm)>);

impl Harms {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let harm = prop_oneof![
            (0..64_u32).prop_map(Harm::Flip),
            prop_oneof![Just(0), Just(u64::MAX), Just(1), Just(0x21), Just(1 << 47), any::<u64>()]
                .prop_map(Harm::Value),
            any::<Index>().prop_map(Harm::Link),
            (0..60_u32).prop_map(Harm::Grow),
        ];
        prop::collection::vec((any::<Index>(), harm), 1..12).prop_map(Self)
    }

    /// A copy of `image` with the harm done to those of `words`; links are multiples of `alignment`.
    pub(crate) fn done_to(&self, image: &Image, words: &[Addr], alignment: u64) -> Image {
        let mut image = image.clone();
        for (place, harm) in &self.0 {
            let at = *place.get(words);
            let word = image.read_u64(at).unwrap();
            let value = match harm {
                Harm::Flip(bit) => word ^ 1 << bit,
                Harm::Value(value) => *value,
                Harm::Link(other) => other.get(words).align_down(alignment).0,
                Harm::Grow(bit) => word.wrapping_add(1 << bit),
            };
            image.poke(at, &value.to_le_bytes());
        }
        image
    }
}

/// Walks, in bounded time.
pub(crate) fn in_time<T>(walk: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    let began = Instant::now();
    let walked = walk();
    prop_assert!(began.elapsed().as_secs() < 10, "bounded: {:?}", began.elapsed());
    Ok(walked)
}

/// Holds the books of a walk over `image` against the image.
pub(crate) fn check_books(heap: &Heap, image: &Image) -> Result<(), TestCaseError> {
    prop_assert!(heap.claims.windows(2).all(|pair| pair[0].end <= pair[1].start));
    let resident: u64 = heap.claims.iter().map(|claim| image.resident(*claim).unwrap().process).sum();
    prop_assert_eq!(heap.ledger.total().process, resident);
    prop_assert_eq!(heap.pinned_by.total(), heap.ledger[Class::SlackPinned]);
    Ok(())
}
