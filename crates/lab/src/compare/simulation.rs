//! Experiments of which the truth is known: services with true effects, noise between trials and a
//! machine that drifts.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use super::compare;
use crate::plan::{self, Plan};
use crate::result::{Answers, Disturbances, Latency, Measure, Round, Trial, Verdict};

/// What one simulated service really is, as factors of the first arm's.
#[derive(Clone, Copy)]
pub(crate) struct Truth {
    pub(crate) memory: f64,
    pub(crate) cpu: f64,
    pub(crate) latency: f64,
}

pub(crate) const SAME: Truth = Truth { memory: 1.0, cpu: 1.0, latency: 1.0 };

/// A machine: what it adds to the truth.
pub(crate) struct Machine {
    /// The standard deviation of a trial's logarithm.
    pub(crate) noise: f64,
    /// The change from the first trial to the last, as a logarithm.
    pub(crate) drift: f64,
    dice: Rng,
    n_done: usize,
}

impl Machine {
    pub(crate) fn new(noise: f64, drift: f64, seed: u64) -> Self {
        Self { noise, drift, dice: Rng::with_seed(seed), n_done: 0 }
    }

    /// Normal, by the sum of twelve even ones; and one trial in twenty meets something that costs.
    fn strays(&mut self) -> f64 {
        let normal = (0..12).map(|_| self.dice.f64()).sum::<f64>() - 6.0;
        let hit = if self.dice.u8(..) < 13 { 2.0 * self.noise } else { 0.0 };
        self.noise * normal + hit
    }

    /// A trial of a service; its numbers stray together as far as one cause moves them.
    pub(crate) fn trial(&mut self, plan: &Plan, arm: &str, repetition: usize, truth: Truth) -> Trial {
        let n_trials = plan.arms.len() * plan.schedule.repetitions;
        let drift = self.drift * self.n_done as f64 / n_trials as f64;
        let (memory, cpu, latency) = (self.strays(), self.strays(), self.strays());
        let scale = |truth: f64, strays: f64| truth * (drift + strays).exp();
        let bytes = |base: f64, own: f64| (base * scale(truth.memory, memory + own)) as u64;
        let rounds = (0..plan.schedule.rounds).map(|idx| {
            let own = 0.3 * self.strays();
            let from = 50.0 * idx as f64;
            Round {
                load_from: from,
                load_until: from + 30.0,
                idle_until: from + 42.0,
                load: Some(answers(scale(truth.latency, latency), &mut self.dice)),
                loaded_cpu_seconds: 5.5 * scale(truth.cpu, cpu),
                cpu_seconds: 6.0 * scale(truth.cpu, cpu),
                minor_faults: (1e5 * scale(truth.cpu, cpu)) as u64,
                major_faults: 0,
                peak_rss_bytes: bytes(300e6, own),
                idle_rss_bytes: bytes(200e6, own),
                idle_pss_bytes: Some(bytes(180e6, own)),
                idle_private_bytes: None,
            }
        });
        let rounds = rounds.collect();
        self.n_done += 1;
        Trial {
            arm: arm.to_owned(),
            repetition,
            started_unix_ms: 90_000 * self.n_done as u64,
            ready_seconds: 1.0,
            in_force: Vec::new(),
            rounds,
            series: Vec::new(),
            ledgers: Vec::new(),
            cgroup_peak_bytes: None,
            n_replaced: 0,
            sampling_cpu_seconds: 0.1,
            disturbances: Disturbances::default(),
            gaps: Vec::new(),
        }
    }

    /// A whole experiment, its turns in random order within each repetition.
    pub(crate) fn experiment(&mut self, plan: &Plan, truth: impl Fn(&str) -> Truth) -> Vec<Trial> {
        let mut trials = Vec::new();
        for repetition in 0..plan.schedule.repetitions {
            let mut arms: Vec<&plan::Arm> = plan.arms.iter().collect();
            self.dice.shuffle(&mut arms);
            for arm in arms {
                let of = arm.is_null_of.as_deref().unwrap_or(&arm.name);
                trials.push(self.trial(plan, &arm.name, repetition, truth(of)));
            }
        }
        trials
    }
}

/// 20 requests a second for 30 s, of which nearly all are answered, one in 25 slowly.
fn answers(scale: f64, dice: &mut Rng) -> Answers {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("bounds in order");
    for _ in 0..600 {
        let slow = if dice.u8(..) < 10 { 8.0 } else { 1.0 };
        histogram.saturating_record((8000.0 * scale * slow * (0.7 + 0.6 * dice.f64())) as u64);
    }
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut bytes).expect("written to memory");
    Answers {
        n_due: 600,
        n_right: 600,
        n_wrong: 0,
        n_timeouts: 0,
        n_failed: 0,
        n_resent: 0,
        late_p99_seconds: 1e-4,
        right_per_second: 20.0,
        example_of_wrong: None,
        latency_us_hdr: STANDARD.encode(bytes),
        latency: Latency::default(),
    }
}

pub(crate) fn plan(arms: &[&str], repetitions: usize) -> Plan {
    let arms: String = arms.iter().map(|arm| format!("[[arm]]\nname = '{arm}'\n")).collect();
    let text = format!(
        "[service]\ncommand = 'serve {{port}}'\n[load]\nrate = 20\nduration = '30s'\n[[load.request]]\n\
         path = '/'\n[schedule]\nrepetitions = {repetitions}\n{arms}"
    );
    plan::read(&text, Path::new("/")).expect("a plan")
}

/// What 200 experiments call different, in a hundred of them.
struct Called {
    /// By arm and measure.
    shares: BTreeMap<(String, Measure), f64>,
    /// Experiments in which any measure of the null arm was called different.
    null_by_any: f64,
}

const N_EXPERIMENTS: u64 = 200;
const FIVE: Truth = Truth { memory: 0.95, cpu: 0.95, latency: 0.95 };
const THIRTY: Truth = Truth { memory: 0.7, cpu: 0.7, latency: 0.7 };
/// Measures that stray as trials do; the 99th percentile of 1200 answers strays more.
const STEADY: [Measure; 4] = [Measure::PeakRss, Measure::IdleRss, Measure::Cpu, Measure::P50];

/// Experiments on a machine that drifts by a tenth from the first trial to the last.
fn called(arms: &[(&str, Truth)], repetitions: usize, noise: f64) -> Called {
    let names: Vec<&str> = arms.iter().map(|(name, _)| *name).collect();
    let plan = plan(&names, repetitions);
    let truth = |name: &str| arms.iter().find(|(other, _)| *other == name).expect("an arm").1;
    let mut called = Called { shares: BTreeMap::new(), null_by_any: 0.0 };
    for seed in 0..N_EXPERIMENTS {
        let trials = Machine::new(noise, 0.10, seed).experiment(&plan, truth);
        let mut null_differs = false;
        for arm in compare(&plan, &trials).arms {
            for (measure, compared) in arm.measures {
                if matches!(compared.verdict, Verdict::Better | Verdict::Worse) {
                    *called.shares.entry((arm.arm.clone(), measure)).or_default() +=
                        100.0 / N_EXPERIMENTS as f64;
                    null_differs |= arm.arm.ends_with(" again");
                }
            }
        }
        called.null_by_any += if null_differs { 100.0 / N_EXPERIMENTS as f64 } else { 0.0 };
    }
    called
}

impl Called {
    fn share(&self, arm: &str, measure: Measure) -> f64 {
        self.shares.get(&(arm.to_owned(), measure)).copied().unwrap_or(0.0)
    }
}

#[test]
fn fault_44_a_null_arm_is_called_different_in_under_5_of_100_experiments_by_any_measure() {
    for (arms, repetitions, noise) in [
        (&[("first", SAME), ("other", THIRTY)][..], 5, 0.03),
        (&[("first", SAME), ("other", THIRTY), ("third", FIVE), ("fourth", SAME)], 5, 0.05),
        (&[("first", SAME), ("other", THIRTY), ("third", FIVE), ("fourth", SAME)], 5, 0.005),
        (&[("first", SAME), ("other", THIRTY), ("third", FIVE), ("fourth", SAME)], 3, 0.03),
        (&[("first", SAME), ("other", THIRTY), ("third", FIVE), ("fourth", SAME)], 10, 0.03),
    ] {
        let called = called(arms, repetitions, noise);
        println!("{} arms, {repetitions} times, noise {noise}: {} %", arms.len(), called.null_by_any);
        assert!(
            called.null_by_any < 5.0,
            "{} of 100, {repetitions} times, noise {noise}",
            called.null_by_any
        );
        for &measure in Measure::ALL {
            let same = called.share("fourth", measure);
            assert!(same < 5.0, "{measure} of an arm that is the same: {same} of 100");
        }
    }
}

#[test]
fn fault_44_a_difference_of_30_percent_is_always_found() {
    for noise in [0.03, 0.04, 0.05] {
        let called = called(&[("first", SAME), ("other", THIRTY), ("third", SAME)], 5, noise);
        for measure in STEADY.into_iter().chain([Measure::P99]) {
            let found = called.share("other", measure);
            assert!(found > 99.99, "{measure}, noise {noise}: {found} of 100");
        }
    }
}

/// How many of 100 experiments find 5 %: what docs and messages may promise.
#[test]
fn fault_44_a_difference_of_5_percent_is_found_as_often_as_is_stated() {
    for (repetitions, noise, at_least) in
        [(5, 0.01, 95.0), (5, 0.02, 65.0), (5, 0.03, 30.0), (10, 0.03, 75.0)]
    {
        let called = called(
            &[("first", SAME), ("other", FIVE), ("third", SAME), ("fourth", SAME)],
            repetitions,
            noise,
        );
        for measure in STEADY {
            let found = called.share("other", measure);
            println!("{measure}, {repetitions} times, noise {noise}: {found} %");
            assert!(found >= at_least, "{measure}, {repetitions} times, noise {noise}: {found} of 100");
        }
    }
}
