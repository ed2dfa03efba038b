//! Thread caches: stacks of freed blocks that still look live to their arenas. Source:
//! include/jemalloc/internal/cache_bin.h, tcache_structs.h.
//!
//! ```text
//! stack of a bin, grows down:   │ room │ cached │ cached │ cached │
//!                                      ▲ head                     ▲ its low 16 bits: empty
//! ```

use slackwater_base::{Addr, Range};

use crate::Field;

/// Most bins of one cache, `TCACHE_NBINS_MAX`.
pub const MOST_BINS: u32 = 41;

/// Layout around `cache_bin_array_descriptor_t`, which lies inside `tcache_slow_t`.
#[derive(Debug)]
pub struct CacheLayout {
    /// The next descriptor of the ring.
    pub next: Field<Addr>,
    /// Its bins.
    pub bins: Field<Addr>,
    /// How many of them are in use: `tcache_nbins` of the struct around it.
    pub n_bins: Field<u32>,
    /// Bytes of a descriptor, up to and with `n_bins`.
    pub bytes: usize,
}

/// Of 5.3.1.
pub const CACHE: CacheLayout =
    CacheLayout { next: Field::at(0), bins: Field::at(16), n_bins: Field::at(32), bytes: 36 };

/// `cache_bin_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheBin {
    head: Addr,
    empty: u16,
    most: u16,
}

impl CacheBin {
    /// `sizeof(cache_bin_t)`.
    pub const BYTES: usize = 24;

    /// Decodes a bin.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        Some(Self {
            head: Field::at(0).get(bytes)?,
            empty: Field::at(20).get(bytes)?,
            most: Field::at(22).get(bytes)?,
        })
    }

    /// Where the addresses of its blocks lie. `None` when the bin was caught in mid-change.
    pub fn cached(self) -> Option<Range> {
        let bytes = u64::from(self.empty.wrapping_sub(self.head.get() as u16));
        let is_sound = bytes.is_multiple_of(8) && bytes / 8 <= u64::from(self.most);
        is_sound.then(|| Range::sized(self.head, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_reaches_from_the_head_to_the_low_bits_of_its_end() {
        let check = |head: u64, empty: u16, most: u16, expected: Option<u64>| {
            let bin = CacheBin { head: Addr(head), empty, most };
            assert_eq!(bin.cached().map(Range::len), expected, "{bin:?}");
        };
        check(0x7000_0010, 0x0030, 20, Some(0x20));
        check(0x7000_fff8, 0x0010, 20, Some(0x18));
        check(0x7000_0030, 0x0030, 20, Some(0));
        check(0x7000_0010, 0x0030, 3, None);
        check(0x7000_0014, 0x0030, 20, None);
        check(0x7000_0038, 0x0030, 20, None);
    }
}
