//! `struct tcache_perthread_struct`: a thread's cache of freed chunks.
//!
//! Its chunks look in use to their arena: only the cache knows that they are free.

use core::ops::RangeInclusive;

use slackwater_base::Addr;

use super::chunk;
use crate::Field;

/// Bins for chunks of one size each, 32 to 1040 bytes. `TCACHE_MAX_BINS` before 2.42.
pub const N_SMALL_BINS: u64 = 64;

/// What a bin's counter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Chunks held, one byte.
    Held8,
    /// Chunks held, two bytes.
    Held16,
    /// Chunks it may still take, two bytes: `mp_.tcache_count` less those held.
    Room16,
}

/// Layout of `struct tcache_perthread_struct`.
#[derive(Debug)]
pub struct TcacheLayout {
    /// The minor versions that have it.
    pub minors: RangeInclusive<u16>,
    /// What the counters count. They come first.
    pub counter: Counter,
    /// Bins. Those from [`N_SMALL_BINS`] on hold chunks of many sizes.
    pub n_bins: u64,
    /// First of `n_bins` list heads: addresses of blocks, not of chunks.
    pub entries: Field<Addr>,
    /// `sizeof`.
    pub bytes: u64,
}

impl TcacheLayout {
    const fn new(minors: RangeInclusive<u16>, counter: Counter, n_bins: u64) -> Self {
        let width = match counter {
            Counter::Held8 => 1,
            Counter::Held16 | Counter::Room16 => 2,
        };
        let entries = (n_bins * width).next_multiple_of(8);
        Self { minors, counter, n_bins, entries: Field::at(entries), bytes: entries + n_bins * 8 }
    }

    /// Size of the chunk that holds the struct.
    pub const fn chunk_bytes(&self) -> u64 {
        (self.bytes + chunk::OVERHEAD_BYTES).next_multiple_of(chunk::ALIGN)
    }

    /// The counter of bin `index` in a copy of the struct.
    pub fn count(&self, bytes: &[u8], index: u64) -> Option<u64> {
        match self.counter {
            Counter::Held8 => Field::<u8>::at(index).get(bytes).map(u64::from),
            Counter::Held16 | Counter::Room16 => Field::<u16>::at(index * 2).get(bytes).map(u64::from),
        }
    }

    /// The first block of bin `index` in a copy of the struct.
    pub fn first(&self, bytes: &[u8], index: u64) -> Option<Addr> {
        Field::<Addr>::at(self.entries.offset() + index * 8).get(bytes)
    }

    /// Chunk sizes that bin `index` may hold. Source: `csize2tidx`, `large_csize2tidx`.
    pub const fn sizes(&self, index: u64) -> RangeInclusive<u64> {
        if index < N_SMALL_BINS {
            let bytes = chunk::MIN_BYTES + index * chunk::ALIGN;
            return bytes..=bytes;
        }
        // Large bins hold one power of two each, from the largest small size up.
        let first = 1024 << (index - N_SMALL_BINS);
        first..=(first * 2 - 1)
    }
}

/// Every layout, oldest first.
pub static ALL: [TcacheLayout; 3] = [
    // malloc/malloc.c, glibc-2.26.
    TcacheLayout::new(26..=29, Counter::Held8, 64),
    // glibc-2.30.
    TcacheLayout::new(30..=41, Counter::Held16, 64),
    // glibc-2.42: + 12 bins for large chunks, counters run down.
    TcacheLayout::new(42..=43, Counter::Room16, 76),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_the_sizes_seen_in_heaps() {
        let sizes: Vec<u64> = ALL.iter().map(TcacheLayout::chunk_bytes).collect();
        assert_eq!(sizes, [0x250, 0x290, 0x300]);
    }
}
