//! Size classes: four to each doubling. Source: include/jemalloc/internal/sc.h, src/sc.c.

/// `PAGE`.
pub const PAGE_BYTES: u64 = 4096;
/// Classes whose blocks share a slab, `SC_NBINS`.
pub const N_SMALL_CLASSES: u32 = 36;
/// All classes, `SC_NSIZES`; as an index it means none.
pub const N_SIZE_CLASSES: u32 = 232;

/// Blocks of 16 bytes and their multiples up to 64: `1 << LG_QUANTUM`.
const QUANTUM: u64 = 16;

/// Bytes of a block of the class with this index; `None` for an index that is none.
pub const fn size_of_class(index: u32) -> Option<u64> {
    match index {
        0 => Some(8),
        1..=4 => Some(QUANTUM * index as u64),
        5..N_SIZE_CLASSES => {
            let (group, step) = ((index - 5) / 4, (index - 5) % 4 + 1);
            Some((QUANTUM << group) * (4 + step as u64))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_manual() {
        // jemalloc(3), table 1: small up to 14 KiB, large from 16 KiB, the last 7 EiB.
        let small: Vec<u64> = (0..N_SMALL_CLASSES).filter_map(size_of_class).collect();
        assert_eq!(small[..14], [8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]);
        assert_eq!(small[32..], [8 << 10, 10 << 10, 12 << 10, 14 << 10]);
        assert_eq!(size_of_class(N_SMALL_CLASSES), Some(16 << 10));
        assert_eq!(size_of_class(N_SIZE_CLASSES - 1), Some(7 << 60));
        assert_eq!(size_of_class(N_SIZE_CLASSES), None);
    }
}
