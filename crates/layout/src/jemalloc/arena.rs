//! `arena_t`, and the metadata blocks it takes its own memory from. Source:
//! include/jemalloc/internal/arena_structs.h, base.h.

use slackwater_base::Addr;

use crate::Field;

/// Slots of the table of arenas, `MALLOCX_ARENA_LIMIT`.
pub const MOST_ARENAS: u64 = 4095;

/// Layout of `arena_t`.
#[derive(Debug)]
pub struct ArenaLayout {
    /// First of the ring of thread caches, `cache_bin_array_descriptor_ql`.
    pub caches: Field<Addr>,
    /// Its number.
    pub number: Field<u32>,
    /// Its `base_t`.
    pub base: Field<Addr>,
    /// Of `base_t`: the chain of metadata blocks.
    pub blocks: Field<Addr>,
}

/// Of 5.3.1.
pub const ARENA: ArenaLayout = ArenaLayout {
    caches: Field::at(11984),
    number: Field::at(80640),
    base: Field::at(80648),
    blocks: Field::at(160),
};

/// Layout of `base_block_t`, at the start of a metadata block.
#[derive(Debug)]
pub struct BlockLayout {
    /// Bytes of the block, all of them mapped.
    pub bytes: Field<u64>,
    /// The next block.
    pub next: Field<Addr>,
    /// The block's alignment, and so the least it can have.
    pub align: u64,
}

/// Of 5.3.1.
pub const BLOCK: BlockLayout = BlockLayout { bytes: Field::at(0), next: Field::at(8), align: 2 << 20 };
