//! The free chain of one pool, as a set of block numbers.
//!
//! Invariant: the chain has exactly the length that the pool's counter leaves, visits no block twice
//! and ends. A chain that does not is no set.

use slackwater_base::Addr;
use slackwater_layout::cpython::PoolHeader;
use slackwater_memory::Window;

use super::pool::PoolTrouble;

/// Most blocks in a pool: 16 KiB in blocks of 16 bytes.
const MOST_BLOCKS: usize = 1024;

/// A set of blocks of one pool, by number.
pub(super) struct BlockSet([u64; MOST_BLOCKS / 64]);

impl BlockSet {
    fn insert(&mut self, block: u32) {
        self.0[block as usize / 64 % (MOST_BLOCKS / 64)] |= 1 << (block % 64);
    }

    /// Whether the block is a member.
    pub(super) const fn contains(&self, block: u32) -> bool {
        self.0[block as usize / 64 % (MOST_BLOCKS / 64)] & (1 << (block % 64)) != 0
    }
}

/// Follows the free chain of the pool at `start`, whose sound header is `header`, among the `carved`
/// blocks that were ever handed out.
pub(super) fn free_blocks(
    window: &Window,
    start: Addr,
    header: &PoolHeader,
    carved: u32,
) -> Result<BlockSet, PoolTrouble> {
    let block_bytes = header.block_bytes() as u32;
    let blocks = start + PoolHeader::SIZE;
    let mut set = BlockSet([0; MOST_BLOCKS / 64]);
    let mut next = header.free_block;
    for _ in header.n_live..carved {
        // Addresses below the first block wrap around to offsets that no pool has.
        let Ok(offset) = u32::try_from(next.get().wrapping_sub(blocks.get())) else {
            return Err(PoolTrouble::Torn);
        };
        let block = offset / block_bytes;
        if !offset.is_multiple_of(block_bytes) || block >= carved {
            return Err(PoolTrouble::Torn);
        }
        set.insert(block);
        match window.word(next) {
            Some(word) => next = Addr(word),
            None if window.page(next).is_swapped() => return Err(PoolTrouble::Swapped),
            None => return Err(PoolTrouble::Torn),
        }
    }
    // A chain that visits a block twice goes round for ever: one that ends here has not.
    if next.is_null() { Ok(set) } else { Err(PoolTrouble::Torn) }
}
