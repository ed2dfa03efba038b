//! What holds of every heap, however damaged the memory it was read from.

use slackwater_base::{Class, Resident};
use slackwater_heap::Heap;
use slackwater_memory::{Image, MemoryExt};

/// Every byte that a heap claims is claimed once, and is in one class of one arena.
///
/// # Panics
/// When that does not hold: a finding.
pub fn check_books(image: &Image, heap: &Heap) {
    assert!(heap.claims.windows(2).all(|pair| pair[0].end <= pair[1].start), "claims overlap");
    let resident = |claim| image.resident(claim).expect("page states of an image");
    let claimed: Resident = heap.claims.iter().map(|&claim| resident(claim)).sum();
    assert_eq!(heap.ledger.total(), claimed, "classes and claims");
    let in_arenas: Resident = heap.arenas.iter().map(|arena| arena.ledger.total()).sum();
    assert_eq!(heap.ledger.total(), in_arenas, "classes and arenas");
    assert_eq!(heap.pinned_by.total(), heap.ledger[Class::SlackPinned], "reasons and pinned slack");
}
