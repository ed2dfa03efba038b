//! How memory was asked for: what went through `malloc`, through `mmap`, through Python's own allocators.
//!
//! Invariant: together it is all that was handed out, but for rounding.

use slackwater_capture::{Amount, Asked as Told, Measure};

use crate::estimate::Estimate;

const N_MEASURES: usize = Measure::ALL.len();

/// What was handed out, by how it was asked for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Asked {
    by: [Estimate; N_MEASURES],
    /// Of sums that were made without telling.
    unknown: Estimate,
}

impl Asked {
    /// All that there is some of; `None` is how what only sums are kept of was asked for, where they do not tell.
    pub fn all(&self) -> impl Iterator<Item = (Option<Measure>, Estimate)> {
        let known = Measure::ALL.into_iter().zip(self.by).map(|(measure, amount)| (Some(measure), amount));
        known.chain([(None, self.unknown)]).filter(|(_, amount)| amount.n_seen > 0)
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.by.iter_mut().zip(&other.by).for_each(|(one, other)| one.add(other));
        self.unknown.add(&other.unknown);
    }

    pub(crate) fn came(&mut self, how: Option<Measure>, amount: &Estimate) {
        match how {
            Some(measure) => self.by[measure as usize].add(amount),
            None => self.unknown.add(amount),
        }
    }

    /// As captures tell it.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> {
        self.all().map(|(measure, amount)| Told { measure, allocated: Amount::from(&amount) })
    }
}
