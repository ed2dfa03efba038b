//! Collects the gaps of a walk: the first few by name, the rest by number, so that a damaged heap of
//! any size costs little memory.

use slackwater_base::{Addr, Gap};

/// Most arenas named one by one.
const NAMED: usize = 16;

/// The gaps of one walk.
#[derive(Default)]
pub(super) struct Gaps {
    named: Vec<Gap>,
    unnamed: usize,
}

impl Gaps {
    /// Something is missing about the arena at `addr`.
    pub(super) fn arena(&mut self, addr: Addr, cause: impl Into<String>) {
        if self.named.len() < NAMED {
            self.named.push(Gap::new(format!("pymalloc arena at {addr}"), cause));
        } else {
            self.unnamed += 1;
        }
    }

    /// All gaps.
    pub(super) fn finish(mut self) -> Vec<Gap> {
        if self.unnamed > 0 {
            let cause = format!("{} more have gaps of their own", self.unnamed);
            self.named.push(Gap::new("pymalloc arenas", cause));
        }
        self.named
    }
}
