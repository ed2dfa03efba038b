//! How much memory adding up may take, whatever a file claims: a few hundred bytes, well packed, can be
//! millions of records.
//!
//! Invariant: what is kept of a capture takes about this much at most. What finds no room is counted, and
//! said.

use slackwater_base::Gap;

/// Enough for ten million blocks that are live at a time, or a million stacks.
const ROOM_BYTES: u64 = 1 << 30;

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// A process.
    Process,
    /// Its course over time.
    Timeline,
    /// A line of code or a name, with so many bytes of text.
    Text(usize),
    /// A stack.
    Stack,
    /// A stack of a thread that asked for memory.
    Part,
    /// A block, or a range, that is live.
    Block,
    /// So many cells of a timeline.
    Cells(usize),
}

impl Kept {
    /// With what it takes in the tables that are made of it.
    const fn bytes(self) -> u64 {
        match self {
            Self::Process => 4 << 10,
            Self::Timeline => 16 << 10,
            Self::Text(n_bytes) => 256 + 3 * n_bytes as u64,
            Self::Stack => 128,
            Self::Part => 768,
            Self::Block => 80,
            Self::Cells(n) => 96 * n as u64,
        }
    }
}

/// The room that is left.
#[derive(Debug)]
pub(crate) struct Room {
    left_bytes: u64,
    n_definitions_refused: u64,
    n_blocks_refused: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { left_bytes: ROOM_BYTES, n_definitions_refused: 0, n_blocks_refused: 0 }
    }
}

impl Room {
    /// Whether there is room for it; then it is taken.
    pub(crate) const fn take(&mut self, what: Kept) -> bool {
        match self.left_bytes.checked_sub(what.bytes()) {
            Some(left_bytes) => {
                self.left_bytes = left_bytes;
                return true;
            }
            None => match what {
                Kept::Block => self.n_blocks_refused += 1,
                Kept::Cells(_) => {}
                _ => self.n_definitions_refused += 1,
            },
        }
        false
    }

    /// It is kept no longer.
    pub(crate) const fn give_back(&mut self, what: Kept) {
        self.left_bytes = self.left_bytes.saturating_add(what.bytes());
    }

    /// Whether something found no room.
    pub(crate) const fn is_exceeded(&self) -> bool {
        self.n_definitions_refused > 0 || self.n_blocks_refused > 0
    }

    /// What found no room.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let cause = "more is in the capture than can be told apart";
        let gap = |n: u64, what: &str| (n > 0).then(|| Gap::new(format!("{n} {what}"), cause));
        let blocks = gap(self.n_blocks_refused, "blocks, which count as allocated and not as live");
        let definitions = gap(self.n_definitions_refused, "processes, stacks and names");
        blocks.into_iter().chain(definitions).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_said() {
        let mut room = Room::default();
        let n_blocks = ROOM_BYTES / Kept::Block.bytes();
        assert!((0..n_blocks).all(|_| room.take(Kept::Block)) && room.gaps().is_empty());
        assert!(!room.take(Kept::Block) && !room.take(Kept::Stack));
        assert_eq!(room.gaps().len(), 2);
        room.give_back(Kept::Block);
        assert!(room.take(Kept::Block) && room.is_exceeded());
    }
}
