//! The part of a recording that is looked at.

/// From one moment to another, both included, CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// What was handed out before is not counted, but known to be live.
    pub from_ns: u64,
    /// What happened later has not happened yet.
    pub to_ns: u64,
}

impl Default for Window {
    /// The whole recording.
    fn default() -> Self {
        Self { from_ns: 0, to_ns: u64::MAX }
    }
}

impl Window {
    /// Whether this moment is later than what is looked at.
    pub(crate) const fn is_over(&self, ns: u64) -> bool {
        ns > self.to_ns
    }

    /// Whether what is handed out at this moment counts.
    pub(crate) const fn counts(&self, ns: u64) -> bool {
        ns >= self.from_ns && ns <= self.to_ns
    }
}
