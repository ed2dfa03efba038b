//! The rules of one file: rows sorted by address, each good up to the next one.
//!
//! ```text
//! row    offset from the module's base (upper half)   index of the rule (lower half)
//! table  row 0 .. row n-1   rule 0 (2 words)  rule 1 ...
//! ```
//!
//! Different instructions share rules: some hundred thousand rows come with a few hundred rules.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::rule::RULE_WORDS;

/// A row.
pub type Row = u64;

/// The row from `offset` on.
pub const fn row(offset: u32, rule: u32) -> Row {
    (offset as u64) << 32 | rule as u64
}

/// Where a table is: first word and number of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableAt {
    /// First word in the region.
    pub first: u32,
    /// Rows.
    pub n_rows: u32,
}

impl TableAt {
    pub(crate) const fn encode(self) -> u64 {
        (self.first as u64) << 32 | self.n_rows as u64
    }

    pub(crate) const fn decode(word: u64) -> Self {
        Self { first: (word >> 32) as u32, n_rows: word as u32 }
    }

    /// The rule of the code at `offset`, still encoded; `None` when the table does not reach there.
    pub(crate) fn rule(self, words: &[AtomicU64], offset: u32) -> Option<[u64; RULE_WORDS]> {
        let first = self.first as usize;
        let rows = words.get(first..first.checked_add(self.n_rows as usize)?)?;
        let after = rows.partition_point(|row| (row.load(Relaxed) >> 32) as u32 <= offset);
        let row = rows.get(after.checked_sub(1)?)?.load(Relaxed);
        let at = first + rows.len() + (row as u32) as usize * RULE_WORDS;
        Some([words.get(at)?.load(Relaxed), words.get(at + 1)?.load(Relaxed)])
    }
}
