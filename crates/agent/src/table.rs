//! A hash table of words that any thread may fill, without locks: keys to ids.
//!
//! ```text
//! table   part of 4096 entries   part of four times as many   ...
//! entry   key, never 0   mark (upper half)  id (lower half), 0 until the definition is out
//! ```
//!
//! A key lies in the first part that had room where it belongs: few keys touch few pages, however many the
//! table could hold.
//!
//! Invariants: a key, once in, stays; it lies in the first free entry of those that are looked at, which are
//! always the same and bounded in number. A table that is full answers with the id 0, which stands for
//! nothing known.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Words of an entry.
pub(crate) const ENTRY_WORDS: usize = 2;
/// Entries of the first part.
const FIRST: usize = 4096;
/// Entries of one part that are looked at for a key.
const STEPS: usize = 8;
/// And of the last part.
const LAST_STEPS: usize = 64;
/// Times that a thread looks whether another one has finished its definition.
const PATIENCE: usize = 200;

/// A table in the given words.
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
        for [place, value] in self.places(mixed(key) as usize) {
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

    /// The entries that a key of this hash may lie in, in the order of search.
    #[inline]
    fn places(self, hash: usize) -> impl Iterator<Item = &'static [AtomicU64; ENTRY_WORDS]> {
        parts(self.entries).flat_map(move |(part, n_steps)| {
            (0..n_steps)
                .filter_map(move |step| part.get(hash.wrapping_add(step) & part.len().wrapping_sub(1)))
        })
    }
}

/// The parts, each a power of two of entries, and how many steps are taken in it.
#[inline]
fn parts<T>(entries: &[T]) -> impl Iterator<Item = (&[T], usize)> {
    let mut rest = entries;
    let mut wanted = FIRST;
    core::iter::from_fn(move || {
        let largest = 1 << rest.len().checked_ilog2()?;
        let (part, others) = rest.split_at_checked(wanted.min(largest))?;
        rest = others;
        wanted *= 4;
        Some((part, if others.is_empty() { LAST_STEPS } else { STEPS }))
    })
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
    fn few_keys_touch_few_pages_and_many_find_room() {
        let table = table(1 << 17);
        let n_keys = 100_000;
        (1..=1000).for_each(|key| assert_eq!(table.id(key, 0, || key as u32), key as u32));
        assert!(table.entries.iter().skip(FIRST).all(|[key, _]| key.load(Relaxed) == 0));
        let defined = (1..=n_keys).filter(|&key| table.id(key, 0, || key as u32) == key as u32);
        let n_defined = defined.count() as u64;
        assert!(n_defined > n_keys * 95 / 100, "{n_defined}");
        (1..=1000).for_each(|key| assert_eq!(table.id(key, 0, || panic!("known")), key as u32));
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
