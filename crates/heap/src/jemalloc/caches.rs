//! Which blocks are parked in thread caches: to their arenas they look live.
//!
//! Invariant: a cache is the target's, and its thread goes on using it. A block is believed to be
//! cached only where its slab has it as handed out, so what is read here can at worst move live blocks
//! of one thread's bins to the wrong side.

use slackwater_base::{Addr, Range};
use slackwater_layout::jemalloc::{ARENA, CACHE, CacheBin, MOST_BINS};
use slackwater_memory::{Memory, MemoryExt};

/// Most caches, and so threads, that are followed.
const MOST_CACHES: usize = 1 << 14;
/// Most cached blocks that are kept: 8 MiB of ours.
const MOST_BLOCKS: usize = 1 << 20;

/// The blocks in thread caches, by address.
#[derive(Default)]
pub(super) struct Cached {
    blocks: Vec<Addr>,
    n_caches: usize,
    /// Whether some caches could not be read, or were too many.
    pub(super) is_partial: bool,
}

impl Cached {
    /// Those of the caches of `arenas`, each given by its address.
    pub(super) fn read(memory: &dyn Memory, arenas: impl Iterator<Item = Addr>) -> Self {
        let mut cached = Self::default();
        for arena in arenas {
            if cached.ring(memory, arena).is_none() {
                cached.is_partial = true;
            }
        }
        cached.blocks.sort_unstable();
        cached.blocks.dedup();
        cached
    }

    /// Those that begin inside `range`.
    pub(super) fn inside(&self, range: Range) -> &[Addr] {
        let from = self.blocks.partition_point(|&block| block < range.start);
        let to = self.blocks.partition_point(|&block| block < range.end);
        self.blocks.get(from..to).unwrap_or_default()
    }

    /// Follows the ring of one arena; `None` when it is cut.
    fn ring(&mut self, memory: &dyn Memory, arena: Addr) -> Option<()> {
        let first = memory.read_addr(ARENA.caches.of(arena)).ok()?;
        if first.is_null() {
            return Some(());
        }
        let mut at = first;
        while self.n_caches < MOST_CACHES {
            self.n_caches += 1;
            let mut bytes = [0; CACHE.bytes];
            memory.read(at, &mut bytes).ok()?;
            let n_bins = CACHE.n_bins.get(&bytes)?.min(MOST_BINS);
            self.bins(memory, CACHE.bins.get(&bytes)?, n_bins)?;
            at = CACHE.next.get(&bytes)?;
            if at == first {
                return Some(());
            }
        }
        None
    }

    fn bins(&mut self, memory: &dyn Memory, bins: Addr, n_bins: u32) -> Option<()> {
        let mut bytes = [0; CacheBin::BYTES * MOST_BINS as usize];
        let used = bytes.get_mut(..CacheBin::BYTES * n_bins as usize)?;
        memory.read(bins, used).ok()?;
        for bin in used.as_chunks().0 {
            let Some(stack) = CacheBin::parse(bin)?.cached() else {
                self.is_partial = true;
                continue;
            };
            let count = (stack.len() / 8) as usize;
            if count == 0 {
                continue;
            }
            if self.blocks.len() + count > MOST_BLOCKS {
                return None;
            }
            self.blocks.extend(memory.read_words(stack.start, count).ok()?.into_iter().map(Addr));
        }
        Some(())
    }
}
