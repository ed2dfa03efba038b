//! Blocks that are not given back yet.

use std::collections::{BTreeMap, HashMap};

/// Where a block came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// Which of the process's parts asked for it.
    pub(crate) part: u32,
    /// The slice of time in which it did.
    pub(crate) born: u16,
    /// Whether that was within the window.
    pub(crate) counts: bool,
    /// Whether it stands for its like.
    pub(crate) sampled: bool,
}

/// A block, or what is left of a range. There may be millions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) size: u64,
    pub(crate) origin: Origin,
}

/// What goes of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) origin: Origin,
    pub(crate) bytes: u64,
    /// Ranges that are left of it: none, one, or two where it lay in the middle.
    pub(crate) n_left: usize,
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
    pub(crate) fn map(&mut self, addr: u64, size: u64, origin: Origin, gone: impl FnMut(Piece)) {
        self.unmap(addr, size, gone);
        self.ranges.insert(addr, (size, origin));
    }

    /// A range is gone: each part of it that was known.
    pub(crate) fn unmap(&mut self, addr: u64, size: u64, mut gone: impl FnMut(Piece)) {
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
            let n_left = usize::from(start < from) + usize::from(to < range_end);
            gone(Piece { origin, bytes: to - from, n_left });
            self.ranges.remove(&start);
            if start < from {
                self.ranges.insert(start, (from - start, origin));
            }
            if to < range_end {
                self.ranges.insert(to, (range_end - to, origin));
            }
        }
    }

    /// Blocks and ranges that are left.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len() + self.ranges.len()
    }

    /// The blocks that are left, by address.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, Block)> {
        self.blocks.iter().map(|(&addr, &block)| (addr, block))
    }

    /// What is left of ranges, by address.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, Block)> {
        self.ranges.iter().map(|(&addr, &(size, origin))| (addr, Block { size, origin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_in_parts() {
        let origin = |part| Origin { part, born: 0, counts: true, sampled: false };
        let mut live = Live::default();
        live.map(0x1000, 0x4000, origin(1), |_| panic!("nothing was there"));
        let mut gone = Vec::new();
        let mut note = |piece: Piece| gone.push((piece.origin.part, piece.bytes, piece.n_left));
        live.unmap(0x2000, 0x1000, &mut note);
        live.map(0x4000, 0x3000, origin(2), &mut note);
        assert_eq!(live.ranges().map(|(_, range)| range.size).sum::<u64>(), 20480);
        live.unmap(0, u64::MAX, &mut note);
        assert_eq!(gone, [(1, 0x1000, 2), (1, 0x1000, 1), (1, 0x1000, 0), (1, 0x1000, 0), (2, 0x3000, 0)]);
    }
}
