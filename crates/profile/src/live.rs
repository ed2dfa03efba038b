//! Blocks that are not given back yet.

use std::collections::{BTreeMap, HashMap};

use crate::estimate::Estimate;

/// Where a block came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// Which of the process's parts asked for it.
    pub(crate) part: u32,
    /// The slice of time in which it did.
    pub(crate) born: u16,
    /// Whether that was within the window.
    pub(crate) counts: bool,
}

/// A block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) origin: Origin,
    pub(crate) estimate: Estimate,
}

/// All blocks of one process.
#[derive(Debug, Default)]
pub(crate) struct Live {
    blocks: HashMap<u64, Block>,
    /// Ranges by their start, with their length: they may be given back in parts.
    ranges: BTreeMap<u64, (u64, Origin)>,
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
    pub(crate) fn map(&mut self, addr: u64, size: u64, origin: Origin, gone: impl FnMut(Origin, u64)) {
        self.unmap(addr, size, gone);
        self.ranges.insert(addr, (size, origin));
    }

    /// A range is gone: origin and bytes of each part that was known.
    pub(crate) fn unmap(&mut self, addr: u64, size: u64, mut gone: impl FnMut(Origin, u64)) {
        let end = addr.saturating_add(size);
        let first = self.ranges.range(..addr).next_back().map(|(&start, _)| start);
        let touched: Vec<u64> = first.into_iter().chain(self.ranges.range(addr..end).map(|r| *r.0)).collect();
        for start in touched {
            let Some(&(length, origin)) = self.ranges.get(&start) else { continue };
            let range_end = start.saturating_add(length);
            let (from, to) = (start.max(addr), range_end.min(end));
            if from >= to {
                continue;
            }
            gone(origin, to - from);
            self.ranges.remove(&start);
            if start < from {
                self.ranges.insert(start, (from - start, origin));
            }
            if to < range_end {
                self.ranges.insert(to, (range_end - to, origin));
            }
        }
    }

    /// All that is left: origin and how much.
    pub(crate) fn left(&self) -> impl Iterator<Item = (Origin, Estimate)> {
        let blocks = self.blocks.values().map(|block| (block.origin, block.estimate));
        blocks.chain(self.ranges.values().map(|&(size, origin)| (origin, Estimate::exact(size))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_in_parts() {
        let origin = |part| Origin { part, born: 0, counts: true };
        let mut live = Live::default();
        live.map(0x1000, 0x4000, origin(1), |_, _| panic!("nothing was there"));
        let mut gone = Vec::new();
        live.unmap(0x2000, 0x1000, |origin, bytes| gone.push((origin.part, bytes)));
        live.map(0x4000, 0x3000, origin(2), |origin, bytes| gone.push((origin.part, bytes)));
        assert_eq!(live.left().map(|(_, amount)| amount.bytes).sum::<f64>(), 20480.0);
        live.unmap(0, u64::MAX, |origin, bytes| gone.push((origin.part, bytes)));
        assert_eq!(gone, [(1, 0x1000), (1, 0x1000), (1, 0x1000), (1, 0x1000), (2, 0x3000)]);
    }
}
