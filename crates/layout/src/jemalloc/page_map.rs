//! The page map: from an address to its extent. Source: include/jemalloc/internal/rtree.h, emap.h.
//!
//! Each extent is entered at its first and at its last page, a slab at all of its pages, whatever
//! its state; nothing else is.

use slackwater_base::Addr;

use super::extent::{Extent, ExtentState};
use crate::Field;

/// `root` of `rtree_t`, the first and only member of `emap_t`.
pub const ROOT: Field<Addr> = Field::at(120);
/// Leaves the root may point to.
pub const ROOT_ENTRIES: u64 = 1 << 18;
/// Addresses that one leaf covers.
pub const LEAF_SPAN_BYTES: u64 = 1 << 30;
/// Bytes of a leaf: a word per page.
pub const LEAF_BYTES: u64 = LEAF_SPAN_BYTES / 4096 * 8;

/// A page's word in a leaf.
///
/// ```text
/// class 16 │ address of the extent, bits 47 to 7 │ 00 │ state 3 │ head │ slab
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeafWord(pub u64);

impl LeafWord {
    /// Where the page's extent is described; `None` for a page without one.
    pub const fn extent(self) -> Option<Addr> {
        let address = self.0 & ((1 << 48) - 1) & !(Extent::BYTES as u64 - 1);
        if address == 0 { None } else { Some(Addr(address)) }
    }

    /// Whether the word of an extent's first page says the same as the extent.
    pub fn agrees(self, extent: &Extent) -> bool {
        let state = ExtentState::from_bits(self.0 >> 2 & 7);
        let is_slab = self.0 & 1 == 1;
        let class = (self.0 >> 48) as u32;
        let is_active = extent.state == ExtentState::Active;
        // Only active extents have a class.
        state == Some(extent.state) && (!is_active || (is_slab, class) == (extent.is_slab, extent.class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_extents_address_and_its_state() {
        let mut bytes = [0; Extent::BYTES];
        let bits: u64 = 1 << 17;
        bytes[..8].copy_from_slice(&bits.to_le_bytes());
        bytes[8..16].copy_from_slice(&0x7f00_0000_3000_u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&0x1000_u64.to_le_bytes());
        let dirty = Extent::parse(&bytes).unwrap();
        let word = LeafWord(0x00e8_7f12_3456_7880 | 1 << 2);
        assert_eq!(word.extent(), Some(Addr(0x7f12_3456_7880)));
        assert!(word.agrees(&dirty));
        assert!(!LeafWord(word.0 | 2 << 2).agrees(&dirty));
        assert_eq!(LeafWord(0x00e8 << 48).extent(), None);
    }
}
