//! `struct _heap_info`: the header of each heap of a secondary arena.
//!
//! Heaps are aligned to their largest size, so the header is found from any address inside.

use core::ops::RangeInclusive;

use slackwater_base::Addr;

use crate::Field;

/// `HEAP_MAX_SIZE` on 64-bit targets: twice `DEFAULT_MMAP_THRESHOLD_MAX`.
pub const HEAP_MAX_BYTES: u64 = 64 << 20;

/// Layout of `struct _heap_info`.
#[derive(Debug)]
pub struct HeapInfoLayout {
    /// The minor versions that have it.
    pub minors: RangeInclusive<u16>,
    /// The arena.
    pub arena: Field<Addr>,
    /// The arena's heap before this one, null in the first.
    pub prev: Field<Addr>,
    /// Bytes in use from the heap's start.
    pub size: Field<u64>,
    /// `sizeof`.
    pub bytes: u64,
}

/// Every layout, oldest first.
pub static ALL: [HeapInfoLayout; 2] = [
    // malloc/arena.c, glibc-2.17 to glibc-2.34.
    HeapInfoLayout {
        minors: 17..=34,
        arena: Field::at(0),
        prev: Field::at(8),
        size: Field::at(16),
        bytes: 32,
    },
    // malloc/arena.c, glibc-2.35: + pagesize.
    HeapInfoLayout {
        minors: 35..=43,
        arena: Field::at(0),
        prev: Field::at(8),
        size: Field::at(16),
        bytes: 48,
    },
];
