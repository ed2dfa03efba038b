//! `struct malloc_state`: an arena.
//!
//! The bins are the anchor: what follows them is the same everywhere but for one field, what
//! precedes them is one of three heads.

use core::ops::RangeInclusive;

use slackwater_base::Addr;

use super::chunk;
use crate::Field;

/// Bins that have a list: `NBINS - 1`. Each is a pair of pointers, first and last chunk.
pub const N_BINS: u64 = 127;
/// Bytes of all pairs.
pub const BINS_BYTES: u64 = N_BINS * 16;
/// `NFASTBINS`.
pub const N_FASTBINS: u64 = 10;
/// `flags` bit of an arena whose memory is not contiguous, `NONCONTIGUOUS_BIT`.
pub const NONCONTIGUOUS: u32 = 2;

/// Layout of `struct malloc_state`.
#[derive(Debug)]
pub struct StateLayout {
    /// The minor versions that have it.
    pub minors: RangeInclusive<u16>,
    /// The lock, a 4-byte futex, is first in all of them.
    pub lock: Field<u32>,
    /// Flags.
    pub flags: Field<u32>,
    /// First of [`N_FASTBINS`] list heads.
    pub fastbins: Option<Field<Addr>>,
    /// The top chunk.
    pub top: Field<Addr>,
    /// First of [`N_BINS`] pairs.
    pub bins: Field<Addr>,
    /// The next arena in the ring.
    pub next: Field<Addr>,
    /// How many threads use the arena.
    pub attached_threads: Option<Field<u64>>,
    /// Bytes had from the system now.
    pub system_mem: Field<u64>,
    /// Most of them ever.
    pub max_system_mem: Field<u64>,
    /// `sizeof`.
    pub bytes: u64,
}

impl StateLayout {
    const fn new(minors: RangeInclusive<u16>, bins: u64, fastbins: Option<u64>, attached: bool) -> Self {
        let tail = bins + BINS_BYTES;
        // binmap is 16 bytes; then next, next_free, attached_threads.
        let system_mem = if attached { tail + 40 } else { tail + 32 };
        Self {
            minors,
            lock: Field::at(0),
            flags: Field::at(4),
            fastbins: match fastbins {
                Some(offset) => Some(Field::at(offset)),
                None => None,
            },
            top: Field::at(bins - 16),
            bins: Field::at(bins),
            next: Field::at(tail + 16),
            attached_threads: if attached { Some(Field::at(tail + 32)) } else { None },
            system_mem: Field::at(system_mem),
            max_system_mem: Field::at(system_mem + 8),
            bytes: system_mem + 16,
        }
    }

    /// Where the head of bin `index` (from 0) poses as a chunk, for the state at `state`: an empty
    /// bin's links point here.
    pub fn bin_head(&self, state: Addr, index: u64) -> Addr {
        self.bins.of(state) + index * 16 - chunk::FD.offset()
    }
}

/// Every layout, oldest first.
pub static ALL: [StateLayout; 4] = [
    // malloc/malloc.c, glibc-2.17 to glibc-2.22.
    StateLayout::new(17..=22, 104, Some(8), false),
    // glibc-2.23: + attached_threads.
    StateLayout::new(23..=26, 104, Some(8), true),
    // glibc-2.27: + have_fastchunks.
    StateLayout::new(27..=42, 112, Some(16), true),
    // Development tree of 2.43: fast bins are gone.
    StateLayout::new(43..=43, 24, None, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_debug_information() {
        // `ptype /o struct malloc_state` on distribution builds.
        let bytes: Vec<u64> = ALL.iter().map(|layout| layout.bytes).collect();
        assert_eq!(bytes, [2184, 2192, 2200, 2112]);
    }
}
