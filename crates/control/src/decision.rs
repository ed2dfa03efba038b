//! One decision: the rules in their order.

use slackwater_layout::slackwater::{GovernorState, Reason};

use crate::activity::Activity;
use crate::lesson::Lesson;
use crate::peak::Peak;
use crate::policy::{ns, share};
use crate::pressure::Pressure;
use crate::{Heap, Policy, Sample};

/// A change of jemalloc's decay time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecayChange {
    /// To this many milliseconds.
    To(u64),
    /// Back to what it was at the start.
    Restore,
}

/// When to look again, and at what besides clocks and faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// In how many milliseconds, if nobody asks before.
    pub after_ms: u64,
    /// The next sample should carry the heap: the costly part.
    pub heap: bool,
    /// The next sample should carry the limit and the stalls.
    pub limit: bool,
}

/// What to do now: the change of decay first, then the purge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What the process is doing, for readers.
    pub state: GovernorState,
    /// Purge every arena, and why.
    pub purge: Option<Reason>,
    /// Change the decay time of every arena.
    pub decay: Option<DecayChange>,
    /// What the purge before has cost, now that it is known: faults per thousand purged pages.
    pub refaults_permille: Option<u32>,
    /// The next look.
    pub look: Look,
}

/// What the governor remembers. A forked child starts with a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    before: Option<Sample>,
    heap: Heap,
    heap_ns: Option<u64>,
    peak: Peak,
    /// When the limit and the stalls were last asked for.
    limit_ns: Option<u64>,
    limit_asked: bool,
    /// The process has done something since its heap was last looked at.
    stirred: bool,
    activity: Activity,
    pressure: Pressure,
    lesson: Lesson,
    lean: bool,
    was_idle: bool,
    /// Dirty bytes times the nanoseconds that they have lain in an idle process.
    lain_byte_ns: u128,
}

impl State {
    /// Of a process that has just begun.
    pub const fn new(policy: &Policy) -> Self {
        Self {
            before: None,
            heap: Heap { active_bytes: 0, dirty_bytes: 0 },
            heap_ns: None,
            peak: Peak::NONE,
            limit_ns: None,
            limit_asked: true,
            stirred: true,
            activity: Activity::WORKING,
            pressure: Pressure::CALM,
            lesson: Lesson::new(policy),
            lean: false,
            was_idle: false,
            lain_byte_ns: 0,
        }
    }

    /// The silence after which the process now counts as idle, as learned.
    pub const fn idle_wait_ms(&self) -> u64 {
        self.lesson.wait_ms()
    }

    /// Takes in the sample.
    fn observe(&mut self, policy: &Policy, sample: &Sample) {
        let before = self.before.replace(*sample).unwrap_or(*sample);
        let elapsed_ns = sample.now_ns.saturating_sub(before.now_ns);
        let cpu_ns = sample.cpu_ns.saturating_sub(before.cpu_ns);
        self.stirred |= cpu_ns > 0 || sample.minor_faults != before.minor_faults;
        self.lain_byte_ns =
            self.lain_byte_ns.saturating_add(u128::from(self.heap.dirty_bytes) * u128::from(elapsed_ns));
        if let Some(heap) = sample.heap {
            let since_ns = self.heap_ns.map_or(0, |at| sample.now_ns.saturating_sub(at));
            self.peak.observe(policy, since_ns, heap.active_bytes);
            self.heap = heap;
            self.heap_ns = Some(sample.now_ns);
            self.stirred = false;
        }
        if self.limit_asked {
            self.limit_ns = Some(sample.now_ns);
        }
        self.activity.observe(policy, self.lesson.wait_ms(), sample.now_ns, elapsed_ns, cpu_ns);
        self.pressure.observe(policy, sample);
    }

    /// The reason to purge now, if there is one.
    fn reason_to_purge(&mut self, policy: &Policy, sample: &Sample) -> Option<Reason> {
        let idle = self.activity.idle_since_ns().is_some();
        let edge = idle && !self.was_idle;
        self.was_idle = idle;
        if !idle || edge {
            self.lain_byte_ns = 0;
        }
        if sample.asked {
            return Some(Reason::Asked);
        }
        if self.pressure.is_pressed() && self.heap.dirty_bytes >= policy.pressed_min_bytes {
            return Some(Reason::Pressure);
        }
        if idle {
            return (edge && self.is_worth_an_edge(policy) || self.has_lain_long(policy))
                .then_some(Reason::IdleEdge);
        }
        (self.is_above_cap(policy) && self.lesson.may_cap(policy, sample)).then_some(Reason::DirtyCap)
    }

    fn is_worth_an_edge(&self, policy: &Policy) -> bool {
        let least = share(self.heap.active_bytes, policy.idle_min_permille).max(policy.idle_min_bytes);
        self.heap.dirty_bytes >= least
    }

    fn has_lain_long(&self, policy: &Policy) -> bool {
        let long = u128::from(policy.idle_min_bytes) * u128::from(ns(policy.idle_hold_ms));
        let long = long.saturating_mul(u128::from(self.lesson.patience_permille(policy))) / 1000;
        self.heap.dirty_bytes >= policy.never_below_bytes.max(1) && self.lain_byte_ns >= long
    }

    fn is_above_cap(&self, policy: &Policy) -> bool {
        let peak = self.peak.bytes();
        let most = peak.saturating_add(share(peak, policy.cap_permille).max(policy.cap_min_bytes));
        self.heap.active_bytes.saturating_add(self.heap.dirty_bytes) > most
    }

    /// Lean under pressure, as at the start afterwards.
    fn change_of_decay(&mut self, policy: &Policy) -> Option<DecayChange> {
        let lean = self.pressure.is_pressed();
        if core::mem::replace(&mut self.lean, lean) == lean {
            return None;
        }
        Some(if lean { DecayChange::To(policy.pressed_decay_ms) } else { DecayChange::Restore })
    }

    /// When to look again, and at what.
    fn look(&self, policy: &Policy, now_ns: u64) -> Look {
        let idle_ns = self.activity.idle_since_ns().map(|since| now_ns.saturating_sub(since));
        let near = self.pressure.is_near(policy);
        let after_ms = match idle_ns {
            Some(idle_ns) if idle_ns >= ns(policy.asleep_after_ms) => policy.asleep_tick_ms,
            Some(_) => policy.idle_tick_ms,
            // Once lean there is nothing to hurry for.
            None if near && !self.lean => policy.near_tick_ms,
            None => policy.busy_tick_ms,
        };
        let due = |last: Option<u64>, every_ms| {
            let next_ns = now_ns.saturating_add(ns(after_ms));
            last.is_none_or(|at| next_ns.saturating_sub(at) >= ns(every_ms))
        };
        Look {
            after_ms,
            heap: self.stirred && due(self.heap_ns, policy.heap_every_ms),
            limit: near || self.lean || due(self.limit_ns, policy.limit_every_ms),
        }
    }
}

/// Decides. Every purge is taken to give back all dirty pages; the next look at the heap corrects that.
pub fn decide(policy: &Policy, state: &mut State, sample: &Sample) -> Decision {
    let young = state.before.is_none();
    state.observe(policy, sample);
    let refaults_permille = state.lesson.judge(policy, sample);
    let decay = state.change_of_decay(policy);
    let purge = state.reason_to_purge(policy, sample);
    if let Some(reason) = purge {
        state.lesson.purged(policy, sample, reason, state.heap.dirty_bytes);
        state.heap.dirty_bytes = 0;
        state.lain_byte_ns = 0;
    }
    let governor = if young {
        GovernorState::Dormant
    } else if state.pressure.is_pressed() {
        GovernorState::Pressed
    } else if state.activity.idle_since_ns().is_some() {
        GovernorState::Idle
    } else {
        GovernorState::Busy
    };
    let look = state.look(policy, sample.now_ns);
    state.limit_asked = look.limit;
    Decision { state: governor, purge, decay, refaults_permille, look }
}
