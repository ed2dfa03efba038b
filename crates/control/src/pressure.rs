//! Whether memory is short: near the limit, about to be, or tasks already wait for it.

use crate::policy::{ns, share};
use crate::{Limit, Policy, Sample};

/// What is remembered of the limit and of the waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pressure {
    limit: Option<(u64, Limit)>,
    stalled: Option<(u64, u64)>,
    pressed: bool,
    last_sign_ns: u64,
}

impl Pressure {
    /// Nothing is known yet, and nothing is short.
    pub(crate) const CALM: Self = Self { limit: None, stalled: None, pressed: false, last_sign_ns: 0 };

    /// Whether memory is short now.
    pub(crate) const fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Whether the limit is so near that every look has to take it in.
    pub(crate) fn is_near(&self, policy: &Policy) -> bool {
        self.limit
            .is_some_and(|(_, limit)| limit.used_bytes >= share(limit.limit_bytes, policy.watch_permille))
    }

    /// Takes what the sample says of both.
    pub(crate) fn observe(&mut self, policy: &Policy, sample: &Sample) {
        let (short, calm) = self.observe_limit(policy, sample);
        let stalled = self.observe_stall(policy, sample);
        if short || stalled {
            self.pressed = true;
        }
        if short || stalled || !calm {
            self.last_sign_ns = sample.now_ns;
        }
        if sample.now_ns.saturating_sub(self.last_sign_ns) >= ns(policy.calm_ms) {
            self.pressed = false;
        }
    }

    /// Whether the limit is a danger, and whether it is far enough to forget about it.
    fn observe_limit(&mut self, policy: &Policy, sample: &Sample) -> (bool, bool) {
        let Some(limit) = sample.limit else {
            let far = self.limit.is_none_or(|(_, limit)| is_below(limit, policy.calm_permille));
            return (false, far);
        };
        let growth = match self.limit.replace((sample.now_ns, limit)) {
            Some((before_ns, before)) => {
                // As fast as since the last look, until the next one: both a tick apart when it is near.
                let elapsed_ns = sample.now_ns.saturating_sub(before_ns).max(1);
                let bytes = limit.used_bytes.saturating_sub(before.used_bytes);
                let ahead_ns = ns(policy.busy_tick_ms);
                (u128::from(bytes) * u128::from(ahead_ns) / u128::from(elapsed_ns)) as u64
            }
            None => 0,
        };
        let soon = Limit { used_bytes: limit.used_bytes.saturating_add(growth), ..limit };
        (!is_below(soon, policy.pressed_permille), is_below(limit, policy.calm_permille))
    }

    /// Whether tasks waited for too large a share of the time since the last look.
    fn observe_stall(&mut self, policy: &Policy, sample: &Sample) -> bool {
        let Some(stalled_ns) = sample.stalled_ns else { return false };
        match self.stalled.replace((sample.now_ns, stalled_ns)) {
            Some((before_ns, before)) => {
                let elapsed_ns = sample.now_ns.saturating_sub(before_ns);
                elapsed_ns > 0
                    && stalled_ns.saturating_sub(before) >= share(elapsed_ns, policy.stall_permille)
            }
            None => false,
        }
    }
}

fn is_below(limit: Limit, permille: u64) -> bool {
    limit.used_bytes < share(limit.limit_bytes, permille)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(at_ms: u64, used_bytes: u64) -> Sample {
        let limit = Some(Limit { used_bytes, limit_bytes: 1000 << 20 });
        Sample { now_ns: ns(at_ms), limit, ..Sample::default() }
    }

    fn pressed_after(samples: &[Sample]) -> bool {
        let mut pressure = Pressure::CALM;
        samples.iter().for_each(|sample| pressure.observe(&Policy::DEFAULT, sample));
        pressure.is_pressed()
    }

    #[test]
    fn nearness_and_growth_towards_the_limit_are_pressure() {
        assert!(!pressed_after(&[used(0, 890 << 20)]));
        assert!(pressed_after(&[used(0, 901 << 20)]));
        assert!(!pressed_after(&[used(0, 800 << 20), used(20, 820 << 20)]), "at 870 in 50 ms");
        assert!(pressed_after(&[used(0, 800 << 20), used(20, 850 << 20)]), "at 975 in 50 ms");
    }

    #[test]
    fn it_is_over_after_a_calm_and_not_before() {
        let calm = |at_ms| used(at_ms, 849 << 20);
        let mut samples = vec![used(0, 950 << 20)];
        samples.extend((1..250).map(|tick| calm(tick * 20)));
        assert!(pressed_after(&samples));
        samples.push(calm(5_000));
        assert!(!pressed_after(&samples));
        let mut lingering: Vec<_> = (0..1000).map(|tick| used(tick * 20, 870 << 20)).collect();
        lingering[0] = used(0, 950 << 20);
        assert!(pressed_after(&lingering), "between the two shares it stays as it is");
    }

    #[test]
    fn a_stall_is_pressure_without_any_limit() {
        let stall = |at_ms, ms| Sample { now_ns: ns(at_ms), stalled_ns: Some(ns(ms)), ..Sample::default() };
        assert!(!pressed_after(&[stall(0, 7_000)]), "what was before the first look says nothing");
        assert!(!pressed_after(&[stall(0, 0), stall(500, 49)]));
        assert!(pressed_after(&[stall(0, 0), stall(500, 50)]));
        assert!(!pressed_after(&[stall(0, 0), stall(500, 50), stall(5_500, 50)]));
    }
}
