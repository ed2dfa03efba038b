//! The most bytes that were active lately.
//!
//! What a burst has freed is dirty in the valley after it, and is needed again by the next burst. So dirty
//! pages are no waste as long as they only fill the heap up to where it was; but a peak of long ago is no
//! reason to keep anything.

use crate::Policy;
use crate::policy::ns;

/// The most, with what was forgotten taken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peak {
    bytes: u64,
}

impl Peak {
    /// Nothing was active yet.
    pub(crate) const NONE: Self = Self { bytes: 0 };

    /// The most that was active lately.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in what is active now, `elapsed_ns` after the last time.
    pub(crate) fn observe(&mut self, policy: &Policy, elapsed_ns: u64, active_bytes: u64) {
        let above = self.bytes.saturating_sub(active_bytes);
        let memory_ns = ns(policy.cap_memory_ms);
        // The first step of an exponential: exact enough for steps that are short against the memory.
        let kept = match memory_ns.checked_sub(elapsed_ns) {
            Some(left_ns) if memory_ns > 0 => u128::from(above) * u128::from(left_ns) / u128::from(memory_ns),
            _ => 0,
        };
        self.bytes = active_bytes.saturating_add(kept as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_by_and_by() {
        let (policy, mut peak) = (Policy::DEFAULT, Peak::NONE);
        peak.observe(&policy, 0, 1_000);
        assert_eq!(peak.bytes(), 1_000);
        let mut after_ms = |ms: u64| {
            (0..ms / 100).for_each(|_| peak.observe(&policy, ns(100), 200));
            peak.bytes()
        };
        assert!((200 + 800 * 30 / 100..200 + 800 * 40 / 100).contains(&after_ms(policy.cap_memory_ms)));
        assert!(after_ms(policy.cap_memory_ms * 9) < 210);
        peak.observe(&policy, ns(100), 300);
        assert_eq!(peak.bytes(), 300);
    }

    #[test]
    fn a_silence_longer_than_the_memory_forgets_all() {
        let mut peak = Peak::NONE;
        peak.observe(&Policy::DEFAULT, 0, u64::MAX);
        peak.observe(&Policy::DEFAULT, u64::MAX, 5);
        assert_eq!(peak.bytes(), 5);
        peak.observe(&Policy { cap_memory_ms: 0, ..Policy::DEFAULT }, 0, 1);
        assert_eq!(peak.bytes(), 1);
    }
}
