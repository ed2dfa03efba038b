//! `edata_t`: an extent, a run of pages in one state. Source: include/jemalloc/internal/edata.h,
//! slab_data.h, bitmap.h.
//!
//! ```text
//! bits     arena 12 │ slab │ committed │ owner │ zeroed │ guarded │ state 3 │ class 8 │ free 10 │ ...
//! address, size and serial number
//! bitmap   of a slab: a set bit is a free block
//! ```

use slackwater_base::{Addr, Range};

use super::size_class::{N_SMALL_CLASSES, PAGE_BYTES, size_of_class};
use crate::Field;

const BITS: Field<u64> = Field::at(0);
const ADDRESS: Field<Addr> = Field::at(8);
const SIZE: Field<u64> = Field::at(16);
const BITMAP: usize = 64;
/// `BITMAP_GROUPS_MAX`.
const GROUPS: usize = 8;

/// What the pages of an extent are, `extent_state_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtentState {
    /// They hold blocks.
    Active,
    /// Unused, not given back yet.
    Dirty,
    /// Unused, left to the kernel to take.
    Muzzy,
    /// Address space without pages.
    Retained,
    /// On the way from one state to another: being purged or merged.
    Changing,
}

impl ExtentState {
    pub(super) const fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            0 => Self::Active,
            1 => Self::Dirty,
            2 => Self::Muzzy,
            3 => Self::Retained,
            4 | 5 => Self::Changing,
            _ => return None,
        })
    }
}

/// An extent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The number of the arena it belongs to.
    pub arena: u32,
    /// What its pages are.
    pub state: ExtentState,
    /// Whether it holds many blocks of one small class.
    pub is_slab: bool,
    /// Whether the huge page allocator owns it.
    pub is_huge: bool,
    /// The index of its size class; only active extents have one.
    pub class: u32,
    /// Free blocks of a slab.
    pub n_free: u32,
    /// Where its only block begins; a slab's first one. Large blocks may begin inside the first page.
    pub address: Addr,
    /// Its pages.
    pub range: Range,
    bitmap: [u64; GROUPS],
}

impl Extent {
    /// `sizeof(edata_t)`, and its alignment.
    pub const BYTES: usize = 128;

    /// Decodes an extent. `None` for what jemalloc never writes.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let bits = BITS.get(bytes)?;
        let field = |shift: u32, width: u32| (bits >> shift) & ((1 << width) - 1);
        let address = ADDRESS.get(bytes)?;
        let start = address.align_down(PAGE_BYTES);
        let size = SIZE.get(bytes)? & !(PAGE_BYTES - 1);
        let mut bitmap = [0; GROUPS];
        for (group, word) in bitmap.iter_mut().zip(bytes.get(BITMAP..)?.as_chunks().0) {
            *group = u64::from_le_bytes(*word);
        }
        let extent = Self {
            arena: field(0, 12) as u32,
            state: ExtentState::from_bits(field(17, 3))?,
            is_slab: field(12, 1) == 1,
            is_huge: field(14, 1) == 1,
            class: field(20, 8) as u32,
            n_free: field(28, 10) as u32,
            address,
            range: Range::new(start, start.checked_add(size)?),
            bitmap,
        };
        extent.is_sound().then_some(extent)
    }

    fn is_sound(&self) -> bool {
        let is_active_slab = self.is_slab && self.state == ExtentState::Active;
        !self.range.is_empty() && (!is_active_slab || self.is_sound_slab())
    }

    /// Whether the count of free blocks and the bitmap agree.
    fn is_sound_slab(&self) -> bool {
        let blocks = self.n_blocks();
        let groups = (blocks as usize).div_ceil(64);
        let used = self.bitmap.get(..groups);
        let free = used.map(|groups| groups.iter().map(|group| group.count_ones()).sum::<u32>());
        let spare = blocks % 64;
        let last = used.and_then(|groups| groups.last()).copied().unwrap_or_default();
        let has_strays = spare > 0 && last >> spare != 0;
        self.class < N_SMALL_CLASSES && blocks > 0 && free == Some(self.n_free) && !has_strays
    }

    /// Bytes of one block, as the class says.
    pub const fn block_bytes(&self) -> u64 {
        match size_of_class(self.class) {
            Some(bytes) => bytes,
            None => 0,
        }
    }

    /// Blocks of a slab, free ones among them.
    pub fn n_blocks(&self) -> u32 {
        self.range.len().checked_div(self.block_bytes()).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// Whether block `index` of a slab is free.
    pub fn is_free(&self, index: u32) -> bool {
        self.bitmap.get(index as usize / 64).is_some_and(|group| group >> (index % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An active slab of the 10 KiB class: five pages, two blocks, the second one free.
    fn slab() -> [u8; Extent::BYTES] {
        let mut bytes = [0; Extent::BYTES];
        let bits: u64 = 3 | 1 << 12 | 33 << 20 | 1 << 28;
        bytes[..8].copy_from_slice(&bits.to_le_bytes());
        bytes[8..16].copy_from_slice(&0x7f00_0000_3000_u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&0x5007_u64.to_le_bytes());
        bytes[64] = 0b10;
        bytes
    }

    #[test]
    fn a_slab_is_read_from_its_bits() {
        let extent = Extent::parse(&slab()).unwrap();
        assert_eq!((extent.arena, extent.state, extent.class), (3, ExtentState::Active, 33));
        assert_eq!((extent.block_bytes(), extent.n_blocks(), extent.n_free), (10 << 10, 2, 1));
        assert_eq!(extent.range, Range::sized(Addr(0x7f00_0000_3000), 0x5000));
        assert!(!extent.is_free(0) && extent.is_free(1));
    }

    #[test]
    fn a_bitmap_that_disagrees_with_the_count_is_refused() {
        let check = |byte: u8, sound: bool| {
            let mut bytes = slab();
            bytes[64] = byte;
            assert_eq!(Extent::parse(&bytes).is_some(), sound, "{byte:#b}");
        };
        check(0b01, true);
        check(0b11, false);
        check(0b00, false);
        check(0b100, false);
    }

    #[test]
    fn what_jemalloc_never_writes_is_refused() {
        let refused = |spoil: fn(&mut [u8])| {
            let mut bytes = slab();
            spoil(&mut bytes);
            Extent::parse(&bytes).is_none()
        };
        assert!(refused(|bytes| bytes[2] |= 0xe));
        assert!(refused(|bytes| bytes[16..24].fill(0)));
        assert!(refused(|bytes| bytes[16..24].fill(0xff)));
        assert!(refused(|bytes| bytes[2] |= 0x80));
    }
}
