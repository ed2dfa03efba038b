//! The arenas, and the blocks of memory in which jemalloc keeps its own books.

use std::collections::BTreeMap;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_layout::jemalloc::{ARENA, BLOCK, MOST_ARENAS};
use slackwater_memory::{Memory, MemoryExt};

use super::JemallocError;
use super::extents::is_inside;

/// Most metadata blocks of all arenas. Each one of an arena is larger than the one before it.
const MOST_BLOCKS: usize = 1 << 14;

/// What the table of arenas leads to.
pub(super) struct Metadata {
    /// Where each arena's state lies, by its number.
    pub(super) arenas: BTreeMap<u32, Addr>,
    /// The metadata blocks with the number of their arena, sorted and disjoint.
    pub(super) blocks: Vec<(Range, u32)>,
}

impl Metadata {
    /// Reads the table of arenas at `table`. `anonymous` is where metadata can be.
    pub(super) fn read(memory: &dyn Memory, table: Addr, anonymous: &[Range]) -> Result<Self, JemallocError> {
        let failed = |addr| move |source| JemallocError::ReadArenas { addr, source };
        let unbalanced = |what| JemallocError::Unbalanced { addr: table, what };
        let mut metadata = Self { arenas: BTreeMap::new(), blocks: Vec::new() };
        if table.is_null() {
            return Err(JemallocError::NoPageMap);
        }
        let slots = memory.read_words(table, MOST_ARENAS as usize).map_err(failed(table))?;
        for (number, arena) in (0..).zip(slots.into_iter().map(Addr)) {
            if arena.is_null() {
                continue;
            }
            let own = memory.read_u32(ARENA.number.of(arena)).map_err(failed(arena))?;
            if own != number {
                return Err(unbalanced("an arena has another number than its place"));
            }
            metadata.arenas.insert(number, arena);
            metadata.chain(memory, arena, number).map_err(failed(arena))?;
        }
        if metadata.arenas.is_empty() {
            return Err(unbalanced("it has no arenas"));
        }
        // One that was mapped after the list of mappings was read is in no ledger, so not in ours.
        metadata.blocks.retain(|&(block, _)| is_inside(anonymous, block));
        metadata.blocks.sort_unstable();
        if metadata.blocks.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start) {
            Ok(metadata)
        } else {
            Err(unbalanced("its blocks of metadata overlap"))
        }
    }

    /// Follows the chain of metadata blocks of one arena.
    fn chain(
        &mut self,
        memory: &dyn Memory,
        arena: Addr,
        number: u32,
    ) -> Result<(), slackwater_memory::MemoryError> {
        let base = memory.read_addr(ARENA.base.of(arena))?;
        let mut block = memory.read_addr(ARENA.blocks.of(base))?;
        while !block.is_null() && self.blocks.len() < MOST_BLOCKS {
            let bytes = memory.read_u64(BLOCK.bytes.of(block))?;
            self.blocks.push((Range::sized(block, bytes).align_out(PAGE_SIZE), number));
            block = memory.read_addr(BLOCK.next.of(block))?;
        }
        Ok(())
    }
}
