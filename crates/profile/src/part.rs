//! What one thread asked for from one stack.

use crate::estimate::Estimate;
use crate::stacks::StackId;

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// All that was handed out.
    pub allocated: Estimate,
    /// Of that, what was not given back when the process ended, or what is looked at.
    pub live: Estimate,
    /// What was live when the processes together held most.
    pub peak: Estimate,
}

impl Usage {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.allocated.add(&other.allocated);
        self.live.add(&other.live);
        self.peak.add(&other.peak);
    }
}

/// One stack of one thread of one process.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Part {
    /// The stack.
    pub stack: StackId,
    /// Which of the process's threads.
    pub thread: u16,
    /// What they asked for.
    pub usage: Usage,
}

/// A part while records come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) allocated: Estimate,
    /// Live, of what counts.
    pub(crate) live: Estimate,
    /// Live, all of it.
    held: Estimate,
    held_at_peak: Estimate,
    /// The mark that `held_at_peak` is of.
    epoch: u64,
}

impl Tally {
    /// Keeps what is held for the mark that was reached since.
    pub(crate) const fn keep(&mut self, epoch: u64) {
        if self.epoch < epoch {
            self.held_at_peak = self.held;
            self.epoch = epoch;
        }
    }

    /// What came and went before only sums are known of.
    pub(crate) fn summed(&mut self, allocated: &Estimate, live: &Estimate, peak: &Estimate, epoch: u64) {
        self.allocated.add(allocated);
        self.live.add(live);
        self.held_at_peak.add(peak);
        self.epoch = epoch;
    }

    /// What is not followed: it counts as handed out.
    pub(crate) fn passed(&mut self, amount: &Estimate, counts: bool) {
        if counts {
            self.allocated.add(amount);
        }
    }

    pub(crate) fn came(&mut self, amount: &Estimate, counts: bool) {
        self.held.add(amount);
        if counts {
            self.allocated.add(amount);
            self.live.add(amount);
        }
    }

    /// A range has become two.
    pub(crate) const fn split(&mut self, counts: bool) {
        self.held.split();
        if counts {
            self.live.split();
        }
    }

    pub(crate) fn went(&mut self, amount: &Estimate, counts: bool) {
        self.held.remove(amount);
        if counts {
            self.live.remove(amount);
        }
    }

    /// The process is gone, and holds nothing more: what it did not give back stays known.
    pub(crate) fn ended(&mut self, epoch: u64) {
        self.keep(epoch);
        self.held = Estimate::default();
    }

    pub(crate) fn usage(mut self, epoch: u64) -> Usage {
        self.keep(epoch);
        Usage { allocated: self.allocated, live: self.live, peak: self.held_at_peak }
    }
}
