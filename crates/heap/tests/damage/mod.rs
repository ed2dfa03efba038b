//! What the tests of every walk do to a recorded heap, and what must hold of the books afterwards.

use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::Index;
use slackwater_base::{Addr, Class};
use slackwater_heap::Heap;
use slackwater_memory::{Image, MemoryExt};

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
