//! Whether the process works or waits.
//!
//! A bucket that processor time fills, and that drains at the share below which a process counts as
//! waiting. While the process works the bucket holds just so much that silence empties it within the
//! wait: then the process is idle. While it is idle the bucket holds the allowance: when it runs over,
//! the process works again. So a timer that fires every second neither wakes it nor keeps it awake.

use crate::Policy;
use crate::policy::{ns, share};

/// The bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Activity {
    effort_ns: u64,
    idle_since_ns: Option<u64>,
}

impl Activity {
    /// A process that has just been working, as one is that has just started or forked.
    pub(crate) const WORKING: Self = Self { effort_ns: u64::MAX, idle_since_ns: None };

    /// Takes `cpu_ns` of work during the `elapsed_ns` up to `now_ns`.
    pub(crate) fn observe(
        &mut self,
        policy: &Policy,
        wait_ms: u64,
        now_ns: u64,
        elapsed_ns: u64,
        cpu_ns: u64,
    ) {
        let brim_ns = share(ns(wait_ms), policy.idle_share_permille);
        let drained_ns = share(elapsed_ns, policy.idle_share_permille);
        // Filled and drained in one step: within a tick nobody knows which came first.
        let level_ns = |before_ns: u64| before_ns.saturating_add(cpu_ns).saturating_sub(drained_ns);
        if self.idle_since_ns.is_some() {
            self.effort_ns = level_ns(self.effort_ns);
            if self.effort_ns > ns(policy.idle_allowance_ms) {
                *self = Self::WORKING;
            }
        } else {
            self.effort_ns = level_ns(self.effort_ns.min(brim_ns)).min(brim_ns);
            if self.effort_ns == 0 && drained_ns > 0 {
                self.idle_since_ns = Some(now_ns);
            }
        }
    }

    /// Since when the process has been idle; `None` while it works.
    pub(crate) const fn idle_since_ns(&self) -> Option<u64> {
        self.idle_since_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds 50 ms ticks with the given milliseconds of work each; how many until it counts as idle.
    fn ticks_until_idle(activity: &mut Activity, work_ms: impl Fn(u64) -> u64) -> Option<u64> {
        (0..1000).find(|&tick| {
            activity.observe(&Policy::DEFAULT, 200, ns(50 * (tick + 1)), ns(50), ns(work_ms(tick)));
            activity.idle_since_ns().is_some()
        })
    }

    #[test]
    fn silence_is_idle_after_the_wait_and_work_never_is() {
        let mut activity = Activity::WORKING;
        assert_eq!(ticks_until_idle(&mut activity, |_| 5), None);
        assert_eq!(ticks_until_idle(&mut activity, |_| 0), Some(3));
    }

    #[test]
    fn a_timer_neither_wakes_it_nor_keeps_it_awake() {
        // 20 ms once a second: 2 %.
        let timer = |tick: u64| if tick.is_multiple_of(20) { 20 } else { 0 };
        let mut activity = Activity::WORKING;
        assert!(ticks_until_idle(&mut activity, timer).is_some_and(|tick| tick < 20));
        for tick in 0..200 {
            activity.observe(&Policy::DEFAULT, 200, 0, ns(50), ns(timer(tick)));
            assert!(activity.idle_since_ns().is_some(), "woken in tick {tick}");
        }
    }

    #[test]
    fn one_request_wakes_it() {
        let mut activity = Activity::WORKING;
        assert!(ticks_until_idle(&mut activity, |_| 0).is_some());
        activity.observe(&Policy::DEFAULT, 200, ns(1_000), ns(50), ns(50));
        activity.observe(&Policy::DEFAULT, 200, ns(1_050), ns(50), ns(30));
        assert_eq!(activity.idle_since_ns(), None);
    }
}
