//! A hash table of words that any thread may fill, without locks: keys to ids.
//!
//! ```text
//! entry   key, never 0   mark (upper half)  id (lower half), 0 until the definition is out
//! ```
//!
//! Invariants: a key, once in, stays; a search takes a bounded number of steps. A table that is full
//! answers with the id 0, which stands for nothing known.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Words of an entry.
pub(crate) const ENTRY_WORDS: usize = 2;
/// Entries that are looked at for one key.
const STEPS: usize = 64;
/// Times that a thread looks whether another one has finished its definition.
const PATIENCE: usize = 200;

/// A table in the given words: a power of two of entries.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    entries: &'static [[AtomicU64; ENTRY_WORDS]],
}

impl Table {
    pub(crate) fn new(words: &'static [AtomicU64]) -> Self {
        Self { entries: words.as_chunks().0 }
    }

    /// The id of `key`. When it is new, or its `mark` has changed, `define` makes one.
    pub(crate) fn id(self, key: u64, mark: u32, define: impl FnOnce() -> u32) -> u32 {
        let start = mixed(key) as usize;
        for step in 0..STEPS {
            let idx = start.wrapping_add(step) & self.entries.len().wrapping_sub(1);
            let Some([place, value]) = self.entries.get(idx) else { return 0 };
            let mut present = place.load(Relaxed);
            if present == 0 {
                match place.compare_exchange(0, key, Relaxed, Relaxed) {
                    Ok(_) => {
                        let id = define();
                        value.store(u64::from(mark) << 32 | u64::from(id), Release);
                        return id;
                    }
                    Err(other) => present = other,
                }
            }
            if present == key {
                return settle(value, mark, define);
            }
        }
        0
    }
}

/// The id of an entry that is there.
fn settle(value: &AtomicU64, mark: u32, define: impl FnOnce() -> u32) -> u32 {
    for _ in 0..PATIENCE {
        let known = value.load(Acquire);
        if known as u32 == 0 {
            // Another thread defines it just now, or this one was interrupted while it did.
            core::hint::spin_loop();
            continue;
        }
        if (known >> 32) as u32 == mark {
            return known as u32;
        }
        let id = define();
        let new = u64::from(mark) << 32 | u64::from(id);
        // Whoever is first wins; the other id is defined too, and only not used again.
        let _ = value.compare_exchange(known, new, AcqRel, Relaxed);
        return id;
    }
    0
}

/// Spreads a key over all bits.
pub(crate) const fn mixed(key: u64) -> u64 {
    let key = (key ^ key >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (key ^ key >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(n_entries: usize) -> Table {
        let words: Vec<AtomicU64> =
            std::iter::repeat_with(|| AtomicU64::new(0)).take(n_entries * ENTRY_WORDS).collect();
        Table::new(words.leak())
    }

    #[test]
    fn a_key_has_one_id_until_its_mark_changes() {
        let table = table(64);
        assert_eq!(table.id(5, 1, || 10), 10);
        assert_eq!(table.id(5, 1, || panic!("known")), 10);
        assert_eq!(table.id(6, 1, || 11), 11);
        assert_eq!(table.id(5, 2, || 12), 12);
        assert_eq!(table.id(5, 2, || panic!("known")), 12);
    }

    #[test]
    fn a_full_table_answers_with_nothing_known() {
        let table = table(64);
        let mut n_defined = 0;
        for key in 1..=1000 {
            let id = table.id(key, 0, || {
                n_defined += 1;
                n_defined
            });
            assert!(id == 0 || key <= 64);
        }
        assert_eq!(n_defined, 64);
    }

    #[test]
    fn an_entry_whose_definition_never_comes_holds_nobody_up() {
        let table = table(64);
        // As if the thread were interrupted in the middle, and came back for the same key.
        let outer = table.id(7, 0, || {
            assert_eq!(table.id(7, 0, || panic!("twice")), 0);
            3
        });
        assert_eq!(outer, 3);
    }
}
