//! Addresses of samples that are not yet freed, so that their frees are told apart from all others.
//!
//! Every free asks; nearly all are answered by one byte of a small filter, which counts the samples that
//! hash there.
//!
//! Invariants: no lock; a free that is not of a sample changes nothing. A count of 255 sticks: then the
//! table is asked. A sample that finds no place is not matched with its free, and the caller is told.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::table::mixed;

/// Words of the filter: eight counts each.
pub(crate) const FILTER_WORDS: usize = 4096;
/// Places for addresses.
pub(crate) const PLACES: usize = 1 << 17;
/// Places that are looked at for one address.
const STEPS: usize = 32;
/// A place whose address was taken out: searches go on behind it.
const TAKEN_OUT: u64 = 1;

/// The set of samples that live.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    filter: &'static [AtomicU64],
    places: &'static [AtomicU64],
}

impl Live {
    pub(crate) fn new(filter: &'static [AtomicU64], places: &'static [AtomicU64]) -> Self {
        Self { filter, places }
    }

    /// Puts an address in; whether there was a place.
    pub(crate) fn insert(self, addr: u64) -> bool {
        self.count(addr, |count| count.checked_add(1));
        for place in self.places_of(addr) {
            let present = place.load(Relaxed);
            if present <= TAKEN_OUT && place.compare_exchange(present, addr, AcqRel, Relaxed).is_ok() {
                return true;
            }
        }
        self.uncount(addr);
        false
    }

    /// Whether an address may be in.
    #[inline]
    pub(crate) fn may_hold(self, addr: u64) -> bool {
        let shift = shift(addr);
        self.counter(addr).is_some_and(|word| word.load(Relaxed) >> shift & 0xff != 0)
    }

    /// Takes an address out; whether it was in.
    pub(crate) fn remove(self, addr: u64) -> bool {
        if !self.may_hold(addr) {
            return false;
        }
        for place in self.places_of(addr) {
            let present = place.load(Acquire);
            if present == addr {
                let removed = place.compare_exchange(addr, TAKEN_OUT, AcqRel, Relaxed).is_ok();
                if removed {
                    self.uncount(addr);
                }
                return removed;
            }
            if present == 0 {
                break;
            }
        }
        false
    }

    fn places_of(self, addr: u64) -> impl Iterator<Item = &'static AtomicU64> {
        let start = mixed(addr) as usize;
        (0..STEPS).filter_map(move |step| self.places.get(start.wrapping_add(step) & (PLACES - 1)))
    }

    #[inline]
    fn counter(self, addr: u64) -> Option<&'static AtomicU64> {
        self.filter.get((hash(addr) >> 3) as usize & (FILTER_WORDS - 1))
    }

    fn uncount(self, addr: u64) {
        // 255 may be more than 255, and sticks.
        self.count(addr, |count| if count == u8::MAX { None } else { count.checked_sub(1) });
    }

    fn count(self, addr: u64, change: impl Fn(u8) -> Option<u8>) {
        let (Some(word), shift) = (self.counter(addr), shift(addr)) else { return };
        let _ = word.fetch_update(AcqRel, Relaxed, |counts| {
            let changed = change((counts >> shift) as u8)?;
            Some(counts & !(0xff << shift) | u64::from(changed) << shift)
        });
    }
}

/// Fifteen bits. Blocks are multiples of 16 apart. One multiplication: this runs at every free.
#[inline]
const fn hash(addr: u64) -> u64 {
    (addr >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49
}

/// Of the count in its word.
#[inline]
const fn shift(addr: u64) -> u32 {
    (hash(addr) as u32 & 7) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let words = |n| -> &'static [AtomicU64] {
            let words: Vec<_> = std::iter::repeat_with(|| AtomicU64::new(0)).take(n).collect();
            words.leak()
        };
        Live::new(words(FILTER_WORDS), words(PLACES))
    }

    #[test]
    fn what_is_in_is_found_once() {
        let live = live();
        let addresses = || (0..20_000_u64).map(|n| 0x7f12_3456_0000 + n * 48);
        for addr in addresses() {
            assert!(!live.remove(addr));
            assert!(live.insert(addr));
        }
        for addr in addresses() {
            assert!(!live.remove(addr + 16));
            assert!(live.remove(addr), "{addr:#x}");
            assert!(!live.remove(addr));
        }
        // The filter is empty again, so that frees are cheap again.
        assert!(live.filter.iter().all(|word| word.load(Relaxed) == 0));
    }

    #[test]
    fn a_full_set_says_so() {
        let live = live();
        let n_in = (0..3 * PLACES as u64).filter(|n| live.insert(n * 16 + 16)).count();
        assert!(n_in <= PLACES && n_in > PLACES / 2, "{n_in}");
    }
}
