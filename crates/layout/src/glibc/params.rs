//! `struct malloc_par`, the variable `mp_`: what governs when memory goes back.

use core::ops::RangeInclusive;

use slackwater_base::Addr;

use crate::Field;

/// `arena_test` at start on 64-bit targets, `NARENAS_FROM_NCORES (1)`.
pub const ARENA_TEST: u64 = 8;
/// `n_mmaps_max` at start, `DEFAULT_MMAP_MAX`.
pub const N_MMAPS_MAX: u32 = 65536;

/// Layout of `struct malloc_par`.
#[derive(Debug)]
pub struct ParamsLayout {
    /// The minor versions that have it.
    pub minors: RangeInclusive<u16>,
    /// A top chunk above this is given back.
    pub trim_threshold: Field<u64>,
    /// Bytes asked for beyond need.
    pub top_pad: Field<u64>,
    /// Requests from this size on are mapped.
    pub mmap_threshold: Field<u64>,
    /// Arenas before the limit is computed.
    pub arena_test: Field<u64>,
    /// Most arenas.
    pub arena_max: Field<u64>,
    /// Size of a transparent huge page when the tunable asks for them, else 0.
    pub thp_bytes: Option<Field<u64>>,
    /// Size of an explicit huge page when the tunable asks for them, else 0.
    pub huge_page_bytes: Option<Field<u64>>,
    /// Mapped chunks.
    pub n_mmaps: Field<u32>,
    /// Most mapped chunks allowed.
    pub n_mmaps_max: Field<u32>,
    /// Most mapped chunks ever.
    pub max_n_mmaps: Field<u32>,
    /// Not 0 when the thresholds no longer move.
    pub no_dyn_threshold: Field<u32>,
    /// Bytes in mapped chunks.
    pub mmapped_mem: Field<u64>,
    /// What those bytes are a multiple of: a page. In 2.43 `mremap_chunk` adds a header's length
    /// too many each time, so that the figure drifts upwards in steps of 16.
    pub mmapped_mem_unit: u64,
    /// Most bytes in mapped chunks ever.
    pub max_mmapped_mem: Field<u64>,
    /// First address the program break handed to malloc.
    pub sbrk_base: Field<Addr>,
    /// Most chunks in one bin of a thread cache.
    pub tcache_count: Option<Field<u64>>,
    /// Bytes from the start that are described here.
    pub bytes: u64,
}

impl ParamsLayout {
    /// `n_mmaps` and `sbrk_base` are the offsets that differ.
    const fn new(
        minors: RangeInclusive<u16>,
        thp: Option<u64>,
        n_mmaps: u64,
        sbrk_base: u64,
        has_tcache: bool,
    ) -> Self {
        // Four ints, padded to 8, then two longs.
        let mmapped_mem = (n_mmaps + 16).next_multiple_of(8);
        Self {
            trim_threshold: Field::at(0),
            top_pad: Field::at(8),
            mmap_threshold: Field::at(16),
            arena_test: Field::at(24),
            arena_max: Field::at(32),
            thp_bytes: match thp {
                Some(offset) => Some(Field::at(offset)),
                None => None,
            },
            huge_page_bytes: match thp {
                Some(offset) => Some(Field::at(offset + 8)),
                None => None,
            },
            n_mmaps: Field::at(n_mmaps),
            n_mmaps_max: Field::at(n_mmaps + 4),
            max_n_mmaps: Field::at(n_mmaps + 8),
            no_dyn_threshold: Field::at(n_mmaps + 12),
            mmapped_mem: Field::at(mmapped_mem),
            mmapped_mem_unit: if *minors.start() >= 43 { 16 } else { 4096 },
            minors,
            max_mmapped_mem: Field::at(mmapped_mem + 8),
            sbrk_base: Field::at(sbrk_base),
            // tcache_bins, tcache_max_bytes, tcache_count.
            tcache_count: if has_tcache { Some(Field::at(sbrk_base + 24)) } else { None },
            bytes: if has_tcache { sbrk_base + 32 } else { sbrk_base + 8 },
        }
    }
}

/// Every layout, oldest first.
pub static ALL: [ParamsLayout; 5] = [
    // malloc/malloc.c, glibc-2.17 to glibc-2.23: max_total_mem before sbrk_base.
    ParamsLayout::new(17..=23, None, 40, 80, false),
    // glibc-2.24.
    ParamsLayout::new(24..=25, None, 40, 72, false),
    // glibc-2.26: + the thread cache's limits.
    ParamsLayout::new(26..=34, None, 40, 72, true),
    // glibc-2.35: + thp_pagesize, hp_pagesize, hp_flags.
    ParamsLayout::new(35..=42, Some(40), 60, 96, true),
    // Development tree of 2.43: + thp_mode.
    ParamsLayout::new(43..=43, Some(48), 68, 104, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_debug_information() {
        let check = |minor: u16, no_dyn, mmapped, sbrk_base| {
            let layout = ALL.iter().find(|layout| layout.minors.contains(&minor)).unwrap();
            assert_eq!(layout.no_dyn_threshold.offset(), no_dyn, "2.{minor}");
            assert_eq!(layout.mmapped_mem.offset(), mmapped, "2.{minor}");
            assert_eq!(layout.sbrk_base.offset(), sbrk_base, "2.{minor}");
        };
        check(17, 52, 56, 80);
        check(31, 52, 56, 72);
        check(36, 72, 80, 96);
        check(43, 80, 88, 104);
    }
}
