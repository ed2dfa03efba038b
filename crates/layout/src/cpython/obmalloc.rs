//! The object allocator's structures: arenas, pools, and the state that lists them.
//!
//! ```text
//! state ── arenas ─▶ arena_object[maxarenas] ── address ─▶ arena: 256 KiB, since 3.10 1 MiB
//!                                                          ├ pool: 4 KiB, since 3.10 16 KiB
//!                                                          │  ├ pool_header, 48 bytes
//!                                                          │  ├ block, block, ...  all of one size
//!                                                          │  └ tail smaller than a block
//!                                                          ├ pool ...
//!                                            pool_address ─▶ never carved
//! ```
//!
//! Source: Objects/obmalloc.c at v3.8.18, v3.9.18, v3.10.13 and v3.11.7;
//! Include/internal/pycore_obmalloc.h at v3.12.1, v3.13.0, v3.14.10 and v3.15.2.

use slackwater_base::{Addr, PAGE_SIZE, Range};

use super::PythonVersion;

/// Number of size classes: 16, 32, ... 512 bytes.
pub const SMALL_CLASSES: u32 = 32;

/// Bytes between two size classes.
const ALIGNMENT: u64 = 16;

/// How large arenas and pools are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes of an arena.
    pub arena_bytes: u64,
    /// Bytes of a pool.
    pub pool_bytes: u64,
}

impl Geometry {
    const SMALL: Self = Self { arena_bytes: 256 << 10, pool_bytes: 4 << 10 };
    const LARGE: Self = Self { arena_bytes: 1 << 20, pool_bytes: 16 << 10 };
    /// Built with `WITH_PYMALLOC_RADIX_TREE=0`.
    const LARGE_WITHOUT_RADIX: Self = Self { arena_bytes: 1 << 20, pool_bytes: 4 << 10 };
    /// Configured with `--with-pymalloc-hugepages`.
    const HUGE: Self = Self { arena_bytes: 2 << 20, pool_bytes: 16 << 10 };

    /// The geometries that builds of a release can have, the usual one first.
    pub const fn of(version: PythonVersion) -> &'static [Self] {
        match version.minor {
            ..=9 => &[Self::SMALL],
            10..=14 => &[Self::LARGE, Self::LARGE_WITHOUT_RADIX],
            _ => &[Self::LARGE, Self::HUGE, Self::LARGE_WITHOUT_RADIX],
        }
    }

    /// Pools in an arena that begins at a multiple of the pool size.
    pub const fn pools_per_arena(self) -> u64 {
        self.arena_bytes / self.pool_bytes
    }

    /// The pools of the arena at `address`: it loses one when it is not aligned.
    pub const fn pools(self, address: Addr) -> Range {
        Range::sized(address, self.arena_bytes).align_in(self.pool_bytes)
    }
}

/// `struct arena_object`: one slot of the table of arenas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArenaObject {
    /// Start of the arena; null where the slot is unused.
    pub address: Addr,
    /// The next pool to carve off.
    pub pool_address: Addr,
    /// Pools without a block in use, never carved ones included.
    pub n_free_pools: u32,
    /// Pools it can hold.
    pub n_pools: u32,
    /// Chain of carved pools without a block in use, through [`PoolHeader::next_pool`].
    pub free_pools: Addr,
    /// Next slot of a list; in an unused slot the next unused one.
    pub next: Addr,
}

impl ArenaObject {
    /// Bytes of a slot.
    pub const SIZE: u64 = 48;

    /// Decodes a slot.
    pub fn parse(bytes: &[u8; Self::SIZE as usize]) -> Self {
        let words = bytes.as_chunks::<8>().0;
        let halves = bytes.as_chunks::<4>().0;
        let word = |index: usize| Addr(u64::from_le_bytes(words[index]));
        let half = |index: usize| u32::from_le_bytes(halves[index]);
        Self {
            address: word(0),
            pool_address: word(1),
            n_free_pools: half(4),
            n_pools: half(5),
            free_pools: word(3),
            next: word(4),
        }
    }

    /// Whether the numbers of a slot in use fit together. What `address` points at is not looked at.
    pub fn is_sound(&self, geometry: Geometry) -> bool {
        let pools = geometry.pools(self.address);
        self.address.is_aligned(PAGE_SIZE)
            && !self.address.is_null()
            && self.address.checked_add(geometry.arena_bytes).is_some()
            && u64::from(self.n_pools) == pools.len() / geometry.pool_bytes
            && self.n_free_pools <= self.n_pools
            && self.pool_address.is_aligned(geometry.pool_bytes)
            && pools.start <= self.pool_address
            && self.pool_address <= pools.end
    }
}

/// `struct pool_header`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolHeader {
    /// Blocks in use.
    pub n_live: u32,
    /// Chain of freed blocks, through their first word.
    pub free_block: Addr,
    /// Next pool of the list it is on.
    pub next_pool: Addr,
    /// Slot of its arena.
    pub arena_idx: u32,
    /// Size class.
    pub size_class: u32,
    /// Offset in the pool of the first block never handed out.
    pub next_offset: u32,
    /// Largest `next_offset` at which a block still fits.
    pub max_next_offset: u32,
}

impl PoolHeader {
    /// Bytes of a header; blocks begin right behind it.
    pub const SIZE: u64 = 48;

    /// Decodes a header.
    pub fn parse(bytes: &[u8; Self::SIZE as usize]) -> Self {
        let words = bytes.as_chunks::<8>().0;
        let halves = bytes.as_chunks::<4>().0;
        let word = |index: usize| Addr(u64::from_le_bytes(words[index]));
        let half = |index: usize| u32::from_le_bytes(halves[index]);
        Self {
            n_live: half(0),
            free_block: word(1),
            next_pool: word(2),
            arena_idx: half(8),
            size_class: half(9),
            next_offset: half(10),
            max_next_offset: half(11),
        }
    }

    /// Bytes of each of its blocks. Meaningful for size classes below [`SMALL_CLASSES`].
    pub const fn block_bytes(&self) -> u64 {
        (self.size_class as u64 + 1) * ALIGNMENT
    }

    /// Whether the header can be one of a carved pool of `geometry` that belongs to slot `arena_idx`.
    pub const fn is_sound(&self, geometry: Geometry, arena_idx: u32) -> bool {
        if self.size_class >= SMALL_CLASSES || self.arena_idx != arena_idx {
            return false;
        }
        let block = self.block_bytes();
        let next = self.next_offset as u64;
        let max = self.max_next_offset as u64;
        max == geometry.pool_bytes - block
            && next >= Self::SIZE + block
            && next <= max + block
            && (next - Self::SIZE).is_multiple_of(block)
            && self.n_live as u64 <= (next - Self::SIZE) / block
    }
}

/// `struct _obmalloc_mgmt`, since 3.12: offsets of the variables that list the arenas. Before, they
/// are static variables in an order that is the compiler's choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MgmtLayout;

impl MgmtLayout {
    /// Of `arenas`: the pointer to the table.
    pub const ARENAS: u64 = 0;
    /// Of `maxarenas`: the number of its slots.
    pub const MAX_ARENAS: u64 = 8;
    /// Of `unused_arena_objects`: the first unused slot.
    pub const UNUSED: u64 = 16;
    /// Of `usable_arenas`: the first slot whose arena has a free pool.
    pub const USABLE: u64 = 24;
    /// Of `nfp2lasta`: a slot for each number of free pools, 0 included.
    pub const FINGERS: u64 = 32;
    /// Of the structure in `struct _obmalloc_state`, behind the heads of the lists of pools.
    pub const IN_STATE: u64 = 512;

    /// Of `narenas_currently_allocated`, behind the fingers.
    pub const fn n_allocated(geometry: Geometry) -> u64 {
        Self::FINGERS + 8 * (geometry.pools_per_arena() + 1)
    }
}

/// Where one pymalloc keeps its books. Addresses of variables, not their values: those change while
/// the target runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PymallocState {
    /// Of the pointer to the table of arenas.
    pub arenas: Addr,
    /// Of the number of slots in the table, 32 bits.
    pub max_arenas: Addr,
    /// How large its arenas and pools are.
    pub geometry: Geometry,
}

impl PymallocState {
    /// Most slots a table is believed to have: 4 TiB of arenas.
    pub const MOST_ARENAS: u32 = 1 << 22;

    /// Whether a table can have `slots` slots: it begins with 16 and doubles.
    pub const fn is_table_size(slots: u32) -> bool {
        slots >= 16 && slots <= Self::MOST_ARENAS && slots.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry::LARGE;

    #[test]
    fn an_unaligned_arena_loses_a_pool() {
        assert_eq!(GEOMETRY.pools(Addr(0x10_0000)), Range::new(Addr(0x10_0000), Addr(0x20_0000)));
        assert_eq!(GEOMETRY.pools(Addr(0x10_1000)), Range::new(Addr(0x10_4000), Addr(0x20_0000)));
    }

    #[test]
    fn a_forged_slot_is_not_sound() {
        let slot = ArenaObject {
            address: Addr(0x10_1000),
            pool_address: Addr(0x10_4000),
            n_free_pools: 63,
            n_pools: 63,
            free_pools: Addr(0),
            next: Addr(0),
        };
        assert!(slot.is_sound(GEOMETRY));
        assert!(!ArenaObject { n_pools: 64, ..slot }.is_sound(GEOMETRY));
        assert!(!ArenaObject { n_free_pools: 64, ..slot }.is_sound(GEOMETRY));
        assert!(!ArenaObject { pool_address: Addr(0x10_0000), ..slot }.is_sound(GEOMETRY));
        assert!(
            !ArenaObject { address: Addr(0), pool_address: Addr(0), n_pools: 64, ..slot }.is_sound(GEOMETRY)
        );
        assert!(!ArenaObject { address: Addr(!0xfff), ..slot }.is_sound(GEOMETRY));
    }

    #[test]
    fn a_header_must_agree_with_its_class() {
        let header = PoolHeader {
            n_live: 2,
            free_block: Addr(0),
            next_pool: Addr(0),
            arena_idx: 3,
            size_class: 2,
            next_offset: 48 + 2 * 48,
            max_next_offset: 16384 - 48,
        };
        let sound = |header: PoolHeader| header.is_sound(GEOMETRY, 3);
        assert!(sound(header));
        assert!(!sound(PoolHeader { arena_idx: 4, ..header }));
        assert!(!sound(PoolHeader { n_live: 3, ..header }));
        assert!(!sound(PoolHeader { size_class: 32, ..header }));
        assert!(!sound(PoolHeader { next_offset: 48 + 40, ..header }));
        assert!(!sound(PoolHeader { next_offset: 16384 + 32, ..header }));
        assert!(!sound(PoolHeader { max_next_offset: 16384, ..header }));
    }
}
