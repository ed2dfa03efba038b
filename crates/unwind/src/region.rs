//! The memory between the collector, which makes tables, and the processes, which walk by them.
//!
//! ```text
//! slots    one for each ring: list  wanted  answered  owner  ...
//! behind   tables and lists, in the order in which they were made; nothing is ever changed or moved
//! list     module by module, sorted: start  end  base  table
//! ```
//!
//! A process's list is replaced as a whole, by one word. Of a list only the word of a table changes, once:
//! from *pending* to where the table is, or to *none*.
//!
//! Invariant: the collector reads nothing back but what is wanted, and no process believes an index.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::rule::RULE_WORDS;
use crate::table::TableAt;

/// Words of a slot: a cache line.
pub const SLOT_WORDS: usize = 8;
const LIST: usize = 0;
const WANTED: usize = 1;
const ANSWERED: usize = 2;
const OWNER: usize = 3;

/// Words of a module in a list.
const ENTRY_WORDS: usize = 4;

const PENDING: u64 = 0;
const NONE: u64 = u64::MAX;

/// The region.
#[derive(Clone, Copy, Debug)]
pub struct Region<'m> {
    words: &'m [AtomicU64],
}

/// What one process and the collector say to each other.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'m> {
    words: &'m [AtomicU64; SLOT_WORDS],
}

/// A process's modules at one time: first word and number of entries. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct List(pub u64);

/// A module of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where its code begins.
    pub start: u64,
    /// And ends.
    pub end: u64,
    /// What the table's offsets count from.
    pub base: u64,
    table: u64,
}

/// What is known of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// Its rule, still encoded.
    Rule([u64; RULE_WORDS]),
    /// In no module that is listed.
    NotListed,
    /// The module's table is not made yet.
    Pending,
    /// The module has no table, or none that reaches there.
    None,
}

impl<'m> Region<'m> {
    /// The region in these words.
    pub const fn new(words: &'m [AtomicU64]) -> Self {
        Self { words }
    }

    /// Words before the first table.
    pub const fn first_free(n_slots: usize) -> usize {
        n_slots * SLOT_WORDS
    }

    /// The slot of a ring.
    pub fn slot(&self, number: usize) -> Option<Slot<'m>> {
        let (slots, _) = self.words.as_chunks::<SLOT_WORDS>();
        Some(Slot { words: slots.get(number)? })
    }

    /// Writes words from `first` on; whether they fit.
    pub fn write(&self, first: usize, values: impl ExactSizeIterator<Item = u64>) -> bool {
        let Some(end) = first.checked_add(values.len()) else { return false };
        let Some(words) = self.words.get(first..end) else { return false };
        words.iter().zip(values).for_each(|(word, value)| word.store(value, Relaxed));
        true
    }

    /// The words of a list's entry that is pending.
    pub const fn entry(start: u64, end: u64, base: u64) -> [u64; ENTRY_WORDS] {
        [start, end, base, PENDING]
    }

    /// The table of an entry is made; `None` when there is none to be had.
    pub fn settle(&self, list: List, idx: usize, table: Option<TableAt>) {
        let at = list.first() + idx * ENTRY_WORDS + 3;
        if let Some(word) = self.words.get(at) {
            // Release: whoever sees it sees the table.
            word.store(table.map_or(NONE, TableAt::encode), Release);
        }
    }

    /// The module that holds the code at `pc`.
    pub fn find(&self, list: List, pc: u64) -> Option<Entry> {
        let end = list.first().checked_add(list.n_entries().checked_mul(ENTRY_WORDS)?)?;
        let (entries, _) = self.words.get(list.first()..end)?.as_chunks::<ENTRY_WORDS>();
        let after = entries.partition_point(|[start, ..]| start.load(Relaxed) <= pc);
        let [start, end, base, table] = entries.get(after.checked_sub(1)?)?;
        let entry = Entry {
            start: start.load(Relaxed),
            end: end.load(Relaxed),
            base: base.load(Relaxed),
            table: table.load(Acquire),
        };
        entry.holds(pc).then_some(entry)
    }

    /// What is known of the code at `pc`.
    pub fn lookup(&self, list: List, pc: u64) -> Lookup {
        let Some(entry) = self.find(list, pc) else { return Lookup::NotListed };
        let table = match entry.table {
            PENDING => return Lookup::Pending,
            NONE => return Lookup::None,
            word => TableAt::decode(word),
        };
        let offset = u32::try_from(pc.wrapping_sub(entry.base)).ok();
        let rule = offset.and_then(|offset| table.rule(self.words, offset));
        rule.map_or(Lookup::None, Lookup::Rule)
    }
}

impl Entry {
    /// Tells this module, at this place, from others.
    pub const fn identity(&self) -> u64 {
        self.start ^ self.table
    }

    /// Whether the code at `pc` is this module's.
    pub const fn holds(&self, pc: u64) -> bool {
        self.start <= pc && pc < self.end
    }
}

impl List {
    /// The list of `n_entries` at `first`.
    pub const fn at(first: usize, n_entries: usize) -> Self {
        Self((first as u64) << 32 | n_entries as u64)
    }

    const fn first(self) -> usize {
        (self.0 >> 32) as usize
    }

    const fn n_entries(self) -> usize {
        self.0 as u32 as usize
    }
}

impl Slot<'_> {
    /// The newest list of this process. A ring may have been another one's a moment ago.
    #[inline]
    pub fn list(&self, pid: u32) -> List {
        if self.words[OWNER].load(Acquire) != u64::from(pid) {
            return List(0);
        }
        List(self.words[LIST].load(Acquire))
    }

    /// Replaces the list.
    pub fn publish(&self, pid: u32, list: List) {
        if self.words[OWNER].load(Relaxed) != u64::from(pid) {
            self.words[LIST].store(0, Relaxed);
            // Release: who sees itself here does not see the former owner's list any more.
            self.words[OWNER].store(u64::from(pid), Release);
        }
        self.words[LIST].store(list.0, Release);
    }

    /// Asks for the code at `pc`.
    pub fn want(&self, pc: u64) {
        self.words[WANTED].store(pc, Release);
    }

    /// What is asked for; 0 if nothing is.
    pub fn wanted(&self) -> u64 {
        self.words[WANTED].load(Acquire)
    }

    /// Says that as much is known of the code at `pc` as ever will be.
    pub fn answer(&self, pc: u64) {
        self.words[ANSWERED].store(pc, Release);
    }

    /// What was answered last.
    pub fn answered(&self) -> u64 {
        self.words[ANSWERED].load(Acquire)
    }

    /// The slot is to be another process's.
    pub fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Release));
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::rule::{Base, Cfa, Rule, Saved};
    use crate::table::row;

    fn words(n_words: usize) -> Vec<AtomicU64> {
        std::iter::repeat_with(|| AtomicU64::new(0)).take(n_words).collect()
    }

    const RULE: Rule =
        Rule { cfa: Cfa::Offset(Base::Rsp, 16), rbp: Saved::Kept, rbx: Saved::Kept, runs_python: false };

    #[test]
    fn what_was_published_is_found() {
        let words = words(100);
        let region = Region::new(&words);
        let first = Region::first_free(2);
        let rules = [Rule::UNKNOWN, RULE].map(Rule::encode);
        let table = [row(0x10, 1), row(0x20, 0)];
        assert!(region.write(first, table.into_iter()));
        assert!(region.write(first + 2, rules.concat().into_iter()));
        let at = first + 6;
        let entries = [Region::entry(0x1000, 0x2000, 0x1000), Region::entry(0x5000, 0x6000, 0x4000)];
        assert!(region.write(at, entries.concat().into_iter()));
        let list = List::at(at, 2);
        assert_eq!(region.lookup(list, 0x1010), Lookup::Pending);
        region.settle(list, 0, Some(TableAt { first: first as u32, n_rows: 2 }));
        region.settle(list, 1, None);
        assert_eq!(region.lookup(list, 0x1010), Lookup::Rule(RULE.encode()));
        assert_eq!(region.lookup(list, 0x101f), Lookup::Rule(RULE.encode()));
        assert_eq!(region.lookup(list, 0x1020), Lookup::Rule(Rule::UNKNOWN.encode()));
        assert_eq!(region.lookup(list, 0x100f), Lookup::None);
        assert_eq!(region.lookup(list, 0x5000), Lookup::None);
        for pc in [0, 0xfff, 0x2000, 0x4fff, 0x6000, u64::MAX] {
            assert_eq!(region.lookup(list, pc), Lookup::NotListed, "{pc:#x}");
        }
    }

    #[test]
    fn words_that_make_no_sense_lead_nowhere() {
        let words = words(64);
        words.iter().enumerate().for_each(|(idx, word)| {
            word.store((idx as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), Relaxed);
        });
        let region = Region::new(&words);
        for list in (0..10_000_u64).map(|n| List(n.wrapping_mul(0xd6e8_feb8_6659_fd93))) {
            region.lookup(list, list.0 >> 3);
        }
        assert!(!region.write(60, [0; 5].into_iter()));
        assert!(!region.write(usize::MAX, [0; 5].into_iter()));
        assert!(region.slot(8).is_none());
    }
}
