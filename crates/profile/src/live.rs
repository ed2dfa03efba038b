//! Blocks that are not given back yet.

use std::collections::{BTreeMap, HashMap};

use crate::estimate::Estimate;

/// A block or a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) stack: u32,
    pub(crate) estimate: Estimate,
}

/// All blocks of one process.
#[derive(Debug, Default)]
pub(crate) struct Live {
    blocks: HashMap<u64, Block>,
    /// Ranges by their start, with their length: they may be given back in parts.
    ranges: BTreeMap<u64, (u64, u32)>,
}

impl Live {
    /// A block is there; the one that was at its address, whose free was not seen.
    pub(crate) fn insert(&mut self, addr: u64, block: Block) -> Option<Block> {
        self.blocks.insert(addr, block)
    }

    /// A block is gone.
    pub(crate) fn remove(&mut self, addr: u64) -> Option<Block> {
        self.blocks.remove(&addr)
    }

    /// A range is there; those parts of others that it replaces go to `gone`.
    pub(crate) fn map(&mut self, addr: u64, size: u64, stack: u32, gone: impl FnMut(u32, u64)) {
        self.unmap(addr, size, gone);
        self.ranges.insert(addr, (size, stack));
    }

    /// A range is gone: stack and bytes of each part that was known.
    pub(crate) fn unmap(&mut self, addr: u64, size: u64, mut gone: impl FnMut(u32, u64)) {
        let end = addr.saturating_add(size);
        let first = self.ranges.range(..addr).next_back().map(|(&start, _)| start);
        let touched: Vec<u64> = first.into_iter().chain(self.ranges.range(addr..end).map(|r| *r.0)).collect();
        for start in touched {
            let Some(&(length, stack)) = self.ranges.get(&start) else { continue };
            let range_end = start.saturating_add(length);
            let (from, to) = (start.max(addr), range_end.min(end));
            if from >= to {
                continue;
            }
            gone(stack, to - from);
            self.ranges.remove(&start);
            if start < from {
                self.ranges.insert(start, (from - start, stack));
            }
            if to < range_end {
                self.ranges.insert(to, (range_end - to, stack));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_in_parts() {
        let mut live = Live::default();
        live.map(0x1000, 0x4000, 1, |_, _| panic!("nothing was there"));
        let mut gone = Vec::new();
        live.unmap(0x2000, 0x1000, |stack, bytes| gone.push((stack, bytes)));
        live.map(0x4000, 0x3000, 2, |stack, bytes| gone.push((stack, bytes)));
        live.unmap(0, u64::MAX, |stack, bytes| gone.push((stack, bytes)));
        assert_eq!(gone, [(1, 0x1000), (1, 0x1000), (1, 0x1000), (1, 0x1000), (2, 0x3000)]);
    }
}
