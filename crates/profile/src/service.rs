//! All processes at one moment: how much is live, and when it was most.
//!
//! The high-water mark needs what every stack held at that moment, and the moment is only known
//! afterwards. Copying all stacks at each new mark would cost the square of their number, so a mark is a
//! number, `epoch`: a stack that is about to change first keeps what it holds for the mark that was
//! reached since its last change, and one that never changes again holds at the end what it held then.

use crate::room::Room;
use crate::timeline::{N_SLICES, Slices};
use crate::window::Window;

/// The running total of all processes.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) window: Window,
    /// What may still be kept of the capture.
    pub(crate) room: Room,
    pub(crate) slices: Option<Slices>,
    /// Highest total within each slice.
    pub(crate) live_most: Vec<f64>,
    pub(crate) peak: Peak,
    pub(crate) epoch: u64,
    live: f64,
    has_begun: bool,
}

/// The moment at which most was live.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Peak {
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Live bytes of all processes together.
    pub bytes: f64,
}

impl Service {
    pub(crate) fn new(window: Window, slices: Option<Slices>) -> Self {
        Self { window, slices, live_most: vec![0.0; N_SLICES], ..Self::default() }
    }

    /// Something is about to change at this moment: what was live when the window opens is a mark, too.
    pub(crate) fn before(&mut self, ns: u64) {
        if !self.has_begun && self.window.counts(ns) {
            self.has_begun = true;
            self.mark(ns);
        }
    }

    /// What was live at most before only sums are known of.
    pub(crate) fn summed(&mut self, peak: Peak) {
        self.has_begun = peak.at_ns > 0;
        self.peak = peak;
        self.epoch += 1;
    }

    /// So many bytes are live in addition, or less.
    pub(crate) fn changed(&mut self, ns: u64, bytes: f64) {
        self.live = (self.live + bytes).max(0.0);
        if !self.window.counts(ns) {
            return;
        }
        if self.live > self.peak.bytes {
            self.mark(ns);
        }
        if let Some(slices) = &self.slices {
            let most = &mut self.live_most[slices.of(ns)];
            *most = most.max(self.live);
        }
    }

    fn mark(&mut self, ns: u64) {
        self.peak = Peak { at_ns: ns, bytes: self.live };
        self.epoch += 1;
    }
}
