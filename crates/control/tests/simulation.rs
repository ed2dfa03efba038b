//! The rules on simulated processes, each with its control: without the rule the result is worse.
//!
//! The model knows one thing about heaps: pages that are needed come from the dirty ones first, then
//! from the kernel by a fault each; pages that are no longer needed are dirty until they are purged.

use std::collections::BTreeMap;

use slackwater_control::{DecayChange, GovernorState, Heap, Limit, Policy, Reason, Sample, State, decide};

const MIB: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;

/// What a process does in one millisecond.
#[derive(Clone, Copy, Default)]
struct Work {
    /// Of one processor.
    cpu_permille: u64,
    /// Bytes that it holds.
    active_bytes: u64,
    /// Limit of its control group, zero for none; it alone is charged.
    limit_bytes: u64,
    /// Share of time that its tasks wait for memory.
    stall_permille: u64,
}

/// What came of it.
#[derive(Default, Debug)]
struct Run {
    purges: BTreeMap<Reason, u64>,
    purged_bytes: u64,
    minor_faults: u64,
    peak_bytes: u64,
    /// Milliseconds with more dirty bytes than a quarter of the active ones, and than 16 MiB.
    above_cap_ms: u64,
    dirty_byte_ms: u64,
    dirty_bytes: u64,
    n_looks: u64,
    n_heap_looks: u64,
    killed: bool,
    decay: Vec<DecayChange>,
    states: Vec<(u64, GovernorState)>,
    idle_wait_ms: u64,
}

impl Run {
    fn purges(&self, reason: Reason) -> u64 {
        self.purges.get(&reason).copied().unwrap_or(0)
    }

    fn n_purges(&self) -> u64 {
        self.purges.values().sum()
    }
}

/// Runs a process for so many milliseconds; without a policy it has no governor.
fn run(policy: Option<&Policy>, for_ms: u64, work: impl Fn(u64) -> Work) -> Run {
    let mut run = Run::default();
    let mut state = State::new(policy.unwrap_or(&Policy::DEFAULT));
    let mut sample = Sample::default();
    let (mut active_bytes, mut next_ms, mut stalled_ns) = (0, 0, 0);
    let (mut look_heap, mut look_limit, mut lean) = (true, true, false);
    for now_ms in 0..for_ms {
        let work = work(now_ms);
        let more = work.active_bytes.saturating_sub(active_bytes);
        run.dirty_bytes += active_bytes.saturating_sub(work.active_bytes);
        let reused = more.min(run.dirty_bytes);
        run.dirty_bytes -= reused;
        run.minor_faults += (more - reused) / PAGE_BYTES;
        active_bytes = work.active_bytes;
        if lean {
            run.dirty_bytes = 0;
        }
        let used_bytes = active_bytes + run.dirty_bytes;
        run.killed |= work.limit_bytes > 0 && used_bytes > work.limit_bytes;
        run.peak_bytes = run.peak_bytes.max(used_bytes);
        run.above_cap_ms += u64::from(run.dirty_bytes > (active_bytes / 4).max(16 * MIB));
        run.dirty_byte_ms += run.dirty_bytes;
        stalled_ns += work.stall_permille * 1_000;
        sample.cpu_ns += work.cpu_permille * 1_000;
        let Some(policy) = policy else { continue };
        if now_ms < next_ms {
            continue;
        }
        sample = Sample {
            now_ns: now_ms * 1_000_000,
            minor_faults: run.minor_faults,
            heap: look_heap.then_some(Heap { active_bytes, dirty_bytes: run.dirty_bytes }),
            limit: (look_limit && work.limit_bytes > 0)
                .then_some(Limit { used_bytes, limit_bytes: work.limit_bytes }),
            stalled_ns: look_limit.then_some(stalled_ns),
            ..sample
        };
        run.n_looks += 1;
        run.n_heap_looks += u64::from(look_heap);
        let decision = decide(policy, &mut state, &sample);
        if let Some(change) = decision.decay {
            run.decay.push(change);
            lean = change == DecayChange::To(0);
            // As in jemalloc: a new decay time begins with a purge.
            run.dirty_bytes = 0;
        }
        if let Some(reason) = decision.purge {
            *run.purges.entry(reason).or_default() += 1;
            run.purged_bytes += run.dirty_bytes;
            run.dirty_bytes = 0;
        }
        if run.states.last().is_none_or(|&(_, last)| last != decision.state) {
            run.states.push((now_ms, decision.state));
        }
        next_ms = now_ms + decision.look.after_ms;
        (look_heap, look_limit) = (decision.look.heap, decision.look.limit);
    }
    run.idle_wait_ms = state.idle_wait_ms();
    run
}

fn governed(for_ms: u64, work: impl Fn(u64) -> Work) -> Run {
    run(Some(&Policy::DEFAULT), for_ms, work)
}

/// Requests of 80 ms that hold 40 MiB beside the 30 MiB that stay; then a pause.
fn bursty(n_requests: u64, pause_ms: u64) -> impl Fn(u64) -> Work {
    move |now_ms| {
        let in_cycle = now_ms % (n_requests * 80 + pause_ms);
        let busy = in_cycle < n_requests * 80;
        let share = if busy { in_cycle % 80 } else { 0 };
        Work {
            cpu_permille: if busy { 950 } else { 0 },
            active_bytes: 30 * MIB + share * MIB / 2,
            ..Work::default()
        }
    }
}

#[test]
fn a_burst_is_followed_by_one_purge_and_then_by_quiet() {
    let work = |now_ms| if now_ms < 1_200 { bursty(15, 0)(now_ms) } else { bursty(0, 1)(now_ms) };
    let run = governed(60_000, work);
    assert_eq!(run.purges(Reason::IdleEdge), 1, "{run:?}");
    assert_eq!(run.dirty_bytes, 0);
    assert!(run.dirty_byte_ms < 2_200 * 40 * MIB, "it comes within a second");
    assert!(run.n_looks < (1_200 + 800) / 50 + 10_000 / 250 + 60, "{} looks", run.n_looks);
    assert!(run.n_heap_looks < 20, "the costly look only while something happens: {}", run.n_heap_looks);
}

#[test]
fn pauses_worth_it_are_used_at_a_fraction_of_the_faults_of_purging_at_once() {
    let service = bursty(15, 2_500);
    let without = run(None, 60_000, &service);
    let with = governed(60_000, &service);
    let n_pauses = 60_000 / (1_200 + 2_500);
    assert!((n_pauses - 1..=n_pauses + 1).contains(&with.purges(Reason::IdleEdge)), "{with:?}");
    assert!(with.dirty_byte_ms * 3 < without.dirty_byte_ms);
    // Decay zero faults each request's 10,000 pages in again.
    let n_requests = n_pauses * 15;
    assert!(with.minor_faults * 3 < n_requests * 10_000, "{with:?}");
}

#[test]
fn pauses_not_worth_it_are_learned() {
    // 1.2 s: a purge after 0.8 s is undone 0.4 s later.
    let service = bursty(15, 1_200);
    let learned = governed(240_000, &service);
    assert!(learned.purges(Reason::IdleEdge) <= 3, "{learned:?}");
    assert!(learned.idle_wait_ms > 1_200);
    let stubborn = Policy { idle_wait_max_ms: 800, ..Policy::DEFAULT };
    let control = run(Some(&stubborn), 240_000, &service);
    assert!(control.purges(Reason::IdleEdge) > 50, "{control:?}");
}

#[test]
fn what_was_learned_is_forgotten_when_pauses_become_long() {
    let service = |now_ms| {
        if now_ms < 30_000 { bursty(15, 1_200)(now_ms) } else { bursty(15, 10_000)(now_ms - 30_000) }
    };
    let run = governed(300_000, service);
    assert_eq!(run.idle_wait_ms, Policy::DEFAULT.idle_wait_min_ms, "{run:?}");
}

#[test]
fn a_timer_every_second_does_not_defeat_the_purge() {
    // 20 ms of work once a second, for ever, after a burst that left 100 MiB.
    let timer = |now_ms: u64| Work {
        cpu_permille: if now_ms < 1_000 || now_ms % 1_000 < 20 { 1000 } else { 0 },
        active_bytes: if (500..1_000).contains(&now_ms) { 130 * MIB } else { 30 * MIB },
        ..Work::default()
    };
    let run = governed(20_000, timer);
    assert_eq!(run.n_purges(), 1, "{run:?}");
    assert!(run.dirty_byte_ms < 1_500 * 100 * MIB, "{run:?}");
}

#[test]
fn a_timer_that_needs_its_pages_is_not_purged_at_every_firing() {
    let timer = |now_ms: u64| Work {
        cpu_permille: if now_ms % 1_000 < 20 { 1000 } else { 0 },
        active_bytes: if now_ms % 1_000 < 20 { 40 * MIB } else { 30 * MIB },
        ..Work::default()
    };
    let run = governed(300_000, timer);
    assert!(run.n_purges() <= 300 / 5, "{run:?}");
    assert!(run.dirty_byte_ms < 300_000 * 10 * MIB, "and yet sometimes");
    assert!(run.n_purges() >= 5);
}

#[test]
fn a_trickle_is_collected_in_the_end() {
    // Some 100 KiB are let go every second; the process never works for long.
    let trickle = |now_ms: u64| Work {
        cpu_permille: if now_ms % 1_000 < 2 { 500 } else { 0 },
        active_bytes: 500 * MIB - now_ms / 1_000 * 100 * 1024,
        ..Work::default()
    };
    let with = governed(600_000, trickle);
    let without = run(None, 600_000, trickle);
    assert!(with.dirty_bytes < 2 * MIB && without.dirty_bytes > 50 * MIB, "{with:?}");
    assert!(with.n_purges() < 200, "{with:?}");
    let edge_only = Policy { idle_hold_ms: u64::MAX, ..Policy::DEFAULT };
    assert!(run(Some(&edge_only), 600_000, trickle).dirty_bytes > 50 * MIB, "the control");
}

/// Works without a pause; in every period its working set halves, and grows again.
fn waves(period_ms: u64) -> impl Fn(u64) -> Work {
    move |now_ms| Work {
        cpu_permille: 900,
        active_bytes: if now_ms % period_ms < period_ms / 2 { 200 * MIB } else { 100 * MIB },
        ..Work::default()
    }
}

#[test]
fn what_the_next_wave_needs_again_is_kept() {
    let with = governed(60_000, waves(1_000));
    assert_eq!(with.n_purges(), 0, "{with:?}");
    let forgetful = Policy { cap_memory_ms: 0, ..Policy::DEFAULT };
    let control = run(Some(&forgetful), 60_000, waves(1_000));
    assert!(control.purges(Reason::DirtyCap) > 3 && control.minor_faults > with.minor_faults, "{control:?}");
}

#[test]
fn steady_load_is_capped_at_its_price() {
    let waves = waves(5_000);
    let with = governed(600_000, &waves);
    let without = run(None, 600_000, &waves);
    let cap = with.purges(Reason::DirtyCap);
    let paid_ns = (with.minor_faults - without.minor_faults) * Policy::DEFAULT.page_cost_ns;
    let cpu_ns = 600_000 * 900_000;
    assert!(cap > 3, "{with:?}");
    // One purge may stand unpaid at the end.
    let budget_ns = cpu_ns * Policy::DEFAULT.cap_cost_permille / 1000 + 25_600 * Policy::DEFAULT.page_cost_ns;
    assert!(paid_ns <= budget_ns, "paid {paid_ns} of {budget_ns}");
    assert!(with.above_cap_ms < without.above_cap_ms);
    let generous = Policy { cap_cost_permille: 1_000, ..Policy::DEFAULT };
    assert!(run(Some(&generous), 600_000, &waves).purges(Reason::DirtyCap) > cap, "the control");
}

#[test]
fn memory_that_a_working_process_no_longer_needs_is_given_back() {
    // 400 MiB once at the start of a long day of work.
    let day = |now_ms: u64| Work {
        cpu_permille: 800,
        active_bytes: if now_ms < 2_000 { 450 * MIB } else { 50 * MIB },
        ..Work::default()
    };
    let with = governed(60_000, day);
    assert_eq!(with.purges(Reason::DirtyCap), 1, "{with:?}");
    assert!(with.above_cap_ms < Policy::DEFAULT.cap_memory_ms, "{with:?}");
    let uncapped = Policy { cap_min_bytes: u64::MAX, ..Policy::DEFAULT };
    assert!(run(Some(&uncapped), 60_000, day).above_cap_ms > 50_000, "the control");
}

#[test]
fn purges_that_cost_nothing_are_refunded() {
    // Lets go of another 40 MiB every two seconds and never needs them again.
    let shrinking = |now_ms: u64| Work {
        cpu_permille: 900,
        active_bytes: 700 * MIB - (now_ms / 2_000).min(15) * 40 * MIB,
        ..Work::default()
    };
    let with = governed(32_000, shrinking);
    let dear = Policy { page_cost_ns: 70_000, ..Policy::DEFAULT };
    let at_any_price = run(Some(&dear), 32_000, shrinking);
    assert_eq!(with.purges(Reason::DirtyCap), at_any_price.purges(Reason::DirtyCap), "{with:?}");
}

/// Needs 55 MiB of a limit of 64, in turns with 25 MiB elsewhere: a heap that keeps both dies.
fn near_limit(now_ms: u64) -> Work {
    let wave = now_ms % 2_000;
    let active_mib = if wave < 1_000 { 20 + wave * 38 / 1_000 } else { 20 };
    Work { cpu_permille: 900, active_bytes: active_mib * MIB, limit_bytes: 64 * MIB, ..Work::default() }
}

#[test]
fn near_its_limit_it_is_lean_and_afterwards_as_before() {
    let work = |now_ms: u64| {
        if now_ms < 20_000 {
            near_limit(now_ms)
        } else {
            Work { active_bytes: 20 * MIB, cpu_permille: 900, limit_bytes: 64 * MIB, ..Work::default() }
        }
    };
    let run = governed(40_000, work);
    assert!(!run.killed);
    assert_eq!(run.decay, [DecayChange::To(0), DecayChange::Restore], "{run:?}");
    let states: Vec<_> = run.states.iter().map(|&(_, state)| state).collect();
    use GovernorState::{Busy, Dormant, Pressed};
    assert_eq!(states, [Dormant, Busy, Pressed, Busy]);
    let (calm_ms, _) = run.states[3];
    assert!((23_900..26_000).contains(&calm_ms), "{run:?}");
}

#[test]
fn dirt_is_given_back_before_growth_meets_the_limit() {
    // 40 MiB are let go elsewhere, where they cannot be reused; then 1 MiB every 20 ms.
    let work = |now_ms: u64| Work {
        cpu_permille: 900,
        active_bytes: 20 * MIB + now_ms.saturating_sub(1_000) / 20 * MIB,
        limit_bytes: 100 * MIB,
        ..Work::default()
    };
    let run = governed(1_000 + 75 * 20, work);
    let pressed = run.states.iter().find(|&&(_, state)| state == GovernorState::Pressed);
    let used_then = work(pressed.expect("pressed in time").0).active_bytes;
    assert!((86 * MIB..92 * MIB).contains(&used_then), "{}", used_then / MIB);
}

#[test]
fn what_is_dirty_when_memory_becomes_short_is_purged_whatever_the_decay() {
    let busy = |now_ms: u64, used_mib: u64| Sample {
        now_ns: now_ms * 1_000_000,
        cpu_ns: now_ms * 1_000_000,
        heap: Some(Heap { active_bytes: 60 * MIB, dirty_bytes: 2 * MIB }),
        limit: Some(Limit { used_bytes: used_mib * MIB, limit_bytes: 100 * MIB }),
        ..Sample::default()
    };
    let mut state = State::new(&Policy::DEFAULT);
    let far = decide(&Policy::DEFAULT, &mut state, &busy(0, 60));
    assert_eq!((far.purge, far.look.after_ms), (None, Policy::DEFAULT.busy_tick_ms));
    let near = decide(&Policy::DEFAULT, &mut state, &busy(1_000, 80));
    assert_eq!((near.purge, near.look.after_ms), (None, Policy::DEFAULT.near_tick_ms), "watched closely");
    let short = decide(&Policy::DEFAULT, &mut state, &busy(2_000, 95));
    assert_eq!((short.purge, short.decay), (Some(Reason::Pressure), Some(DecayChange::To(0))));
    assert_eq!(short.look.after_ms, Policy::DEFAULT.busy_tick_ms, "lean, there is nothing to hurry for");
}

#[test]
fn a_storm_of_stalls_is_answered_once_and_outlasted() {
    let work = |now_ms: u64| Work {
        cpu_permille: 500,
        active_bytes: if now_ms % 200 < 100 { 60 * MIB } else { 50 * MIB },
        stall_permille: if (10_000..20_000).contains(&now_ms) { 300 } else { 0 },
        ..Work::default()
    };
    let with = governed(40_000, work);
    assert_eq!(with.decay, [DecayChange::To(0), DecayChange::Restore], "{with:?}");
    let (begun_ms, ended_ms) = (with.states[2].0, with.states[3].0);
    assert!((10_000..11_000).contains(&begun_ms) && (25_000..26_000).contains(&ended_ms), "{with:?}");
}

#[test]
fn a_process_that_never_works_is_left_alone() {
    let run = governed(3_600_000, |_| Work { active_bytes: 50 * MIB, ..Work::default() });
    assert_eq!(run.n_purges(), 0);
    assert!(run.n_looks < 3_700, "{} looks in an hour", run.n_looks);
    assert!(run.n_heap_looks <= 2, "{}", run.n_heap_looks);
}

#[test]
fn who_asks_gets_a_purge_at_once() {
    let mut state = State::new(&Policy::DEFAULT);
    let asked = Sample { asked: true, ..Sample::default() };
    assert_eq!(decide(&Policy::DEFAULT, &mut state, &asked).purge, Some(Reason::Asked));
    assert_eq!(decide(&Policy::DEFAULT, &mut state, &asked).purge, Some(Reason::Asked), "however often");
}

#[test]
fn nonsense_is_borne() {
    let mut state = State::new(&Policy::DEFAULT);
    let numbers = [0, 1, u64::MAX / 2, u64::MAX];
    for n in 0..4096_usize {
        let pick = |shift: usize| numbers[((n * 2_654_435_761) >> shift) % 4];
        let sample = Sample {
            now_ns: pick(0),
            cpu_ns: pick(2),
            minor_faults: pick(4),
            heap: (n % 3 > 0).then_some(Heap { active_bytes: pick(6), dirty_bytes: pick(8) }),
            limit: (n % 5 > 0).then_some(Limit { used_bytes: pick(10), limit_bytes: pick(12) }),
            stalled_ns: (n % 7 > 0).then_some(pick(14)),
            asked: n % 11 == 0,
        };
        assert!(decide(&Policy::DEFAULT, &mut state, &sample).look.after_ms > 0);
    }
}
