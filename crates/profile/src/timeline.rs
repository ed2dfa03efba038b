//! What was handed out, held and given back in each slice of time, by stack.
//!
//! A block that is handed out and given back within one slice is only counted as handed out; of the
//! others it is kept in which slice they came and in which they went. From that follows what was live at
//! the end of any slice, and what came within any range of slices and outlived it.
//!
//! Invariant: cells are bounded: when there are too many, slices become twice as long.

use std::collections::HashMap;
use std::hash::Hash;

use crate::estimate::Estimate;

/// Into how many slices a recording is cut.
pub const N_SLICES: usize = 512;
/// Most cells of one process before slices become longer.
const CELLS_MAX: usize = 1 << 18;
/// "Gone" of what was not given back.
pub const NEVER: u16 = u16::MAX;

/// Slices of equal length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slices {
    /// When the first begins, CLOCK_MONOTONIC.
    pub first_ns: u64,
    /// How long each is.
    pub width_ns: u64,
}

impl Slices {
    /// Slices from one moment to another.
    pub(crate) fn between(first_ns: u64, last_ns: u64) -> Self {
        Self { first_ns, width_ns: (last_ns.saturating_sub(first_ns) / N_SLICES as u64).max(1) + 1 }
    }

    /// The slice of this moment.
    #[must_use]
    pub fn of(&self, ns: u64) -> usize {
        let idx = ns.saturating_sub(self.first_ns) / self.width_ns;
        usize::try_from(idx).unwrap_or(usize::MAX).min(N_SLICES - 1)
    }
}

/// Blocks of one stack that came in one slice.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cell {
    /// Which of the process's parts.
    pub part: u32,
    /// The slice in which they came.
    pub born: u16,
    /// The slice in which they went, later than `born`; [`NEVER`] for those that did not.
    pub gone: u16,
    /// How much.
    pub amount: Estimate,
}

/// One process over time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Timeline {
    /// Slices are `2^shift` times as long as [`Slices`] says.
    pub shift: u32,
    /// All that was handed out; `gone` says nothing.
    pub allocated: Vec<Cell>,
    /// What outlived the slice in which it came.
    pub survived: Vec<Cell>,
    /// Most that was live within each of the original slices.
    pub live_most: Vec<f64>,
    /// Most RSS that it had within each; 0 before it was first seen.
    pub resident_most: Vec<u64>,
}

/// A timeline while it is made.
#[derive(Debug)]
pub(crate) struct Building {
    slices: Slices,
    shift: u32,
    cells_max: usize,
    allocated: HashMap<(u32, u16), Estimate>,
    survived: HashMap<(u32, u16, u16), Estimate>,
    live_most: Vec<f64>,
    resident_most: Vec<u64>,
    resident_last: Vec<Option<u64>>,
}

impl Building {
    pub(crate) fn new(slices: Slices) -> Self {
        Self {
            slices,
            shift: 0,
            cells_max: CELLS_MAX,
            allocated: HashMap::new(),
            survived: HashMap::new(),
            live_most: vec![0.0; N_SLICES],
            resident_most: vec![0; N_SLICES],
            resident_last: vec![None; N_SLICES],
        }
    }

    /// The original slice of this moment.
    pub(crate) fn slice(&self, ns: u64) -> u16 {
        self.slices.of(ns) as u16
    }

    pub(crate) fn allocated(&mut self, part: u32, slice: u16, amount: &Estimate) {
        self.allocated.entry((part, slice >> self.shift)).or_default().add(amount);
        self.bound();
    }

    pub(crate) fn gone(&mut self, part: u32, born: u16, slice: u16, amount: &Estimate) {
        let (born, gone) = (born >> self.shift, slice >> self.shift);
        if born != gone {
            self.survived.entry((part, born, gone)).or_default().add(amount);
            self.bound();
        }
    }

    pub(crate) fn kept(&mut self, part: u32, born: u16, amount: &Estimate) {
        self.survived.entry((part, born >> self.shift, NEVER)).or_default().add(amount);
    }

    pub(crate) fn live(&mut self, ns: u64, bytes: f64) {
        let most = &mut self.live_most[self.slices.of(ns)];
        *most = most.max(bytes);
    }

    pub(crate) fn resident(&mut self, ns: u64, bytes: u64) {
        let slice = self.slices.of(ns);
        self.resident_most[slice] = self.resident_most[slice].max(bytes);
        self.resident_last[slice] = Some(bytes);
    }

    /// Cells so far.
    pub(crate) fn n_cells(&self) -> usize {
        self.allocated.len() + self.survived.len()
    }

    /// Tells all in one slice from here on.
    pub(crate) fn coarsen(&mut self) {
        self.cells_max = 0;
        self.bound();
    }

    /// Makes slices twice as long while there are too many cells.
    fn bound(&mut self) {
        while self.n_cells() > self.cells_max && 1 << self.shift < N_SLICES {
            self.shift += 1;
            merge(&mut self.allocated, |(part, born)| Some((part, born >> 1)));
            merge(&mut self.survived, |(part, born, gone)| {
                let gone = if gone == NEVER { NEVER } else { gone >> 1 };
                (born >> 1 != gone).then_some((part, born >> 1, gone))
            });
        }
    }

    pub(crate) fn done(mut self) -> Timeline {
        // It is told when it changes: until then it stays.
        let mut now = 0;
        for (most, last) in self.resident_most.iter_mut().zip(&self.resident_last) {
            *most = (*most).max(now);
            now = last.unwrap_or(now);
        }
        let cell = |part, born, gone, amount| Cell { part, born, gone, amount };
        let mut timeline = Timeline {
            shift: self.shift,
            allocated: self
                .allocated
                .into_iter()
                .map(|((part, born), one)| cell(part, born, NEVER, one))
                .collect(),
            survived: self
                .survived
                .into_iter()
                .map(|((part, born, gone), one)| cell(part, born, gone, one))
                .collect(),
            live_most: self.live_most,
            resident_most: self.resident_most,
        };
        timeline.allocated.sort_unstable_by_key(|cell| (cell.part, cell.born));
        timeline.survived.sort_unstable_by_key(|cell| (cell.part, cell.born, cell.gone));
        timeline
    }
}

fn merge<K: Eq + Hash>(cells: &mut HashMap<K, Estimate>, to: impl Fn(K) -> Option<K>) {
    for (key, amount) in std::mem::take(cells) {
        if let Some(key) = to(key) {
            cells.entry(key).or_default().add(&amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_become_longer_when_there_are_too_many_cells() {
        let mut building = Building::new(Slices { first_ns: 0, width_ns: 1 });
        let n_parts = 4000;
        let mut allocated = 0.0;
        for part in 0..n_parts {
            for slice in 0..N_SLICES as u16 {
                building.allocated(part, slice, &Estimate::exact(8));
                building.gone(part, slice, slice + 1, &Estimate::exact(8));
                allocated += 8.0;
            }
        }
        let timeline = building.done();
        assert!(timeline.shift > 0 && timeline.allocated.len() + timeline.survived.len() <= CELLS_MAX);
        let sum = |cells: &[Cell]| cells.iter().map(|cell| cell.amount.bytes).sum::<f64>();
        assert_eq!(sum(&timeline.allocated), allocated, "nothing is lost");
        assert!(timeline.survived.iter().all(|cell| cell.born < cell.gone));
    }
}
