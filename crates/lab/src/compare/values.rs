//! The numbers of every trial, by arm and repetition.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::plan::{Load, Plan};
use crate::result::{Answers, Measure, Round, Trial};

type OfTrial = BTreeMap<Measure, f64>;

/// The numbers of every trial.
pub(super) struct Values<'a> {
    by_arm: BTreeMap<&'a str, BTreeMap<usize, OfTrial>>,
}

impl<'a> Values<'a> {
    pub(super) fn of(plan: &Plan, trials: &'a [Trial]) -> Self {
        let mut by_arm: BTreeMap<&str, BTreeMap<usize, OfTrial>> = BTreeMap::new();
        for trial in trials {
            by_arm.entry(&trial.arm).or_default().insert(trial.repetition, of_trial(plan, trial));
        }
        Self { by_arm }
    }

    pub(super) fn n_trials(&self, arm: &str) -> usize {
        self.by_arm.get(arm).map_or(0, BTreeMap::len)
    }

    pub(super) fn get(&self, arm: &str, repetition: usize, measure: Measure) -> Option<f64> {
        self.by_arm.get(arm)?.get(&repetition)?.get(&measure).copied()
    }

    pub(super) fn by_repetition(&self, arm: &str, measure: Measure) -> Vec<(usize, f64)> {
        let trials = self.by_arm.get(arm).into_iter().flatten();
        trials.filter_map(|(&repetition, values)| Some((repetition, *values.get(&measure)?))).collect()
    }

    pub(super) fn of_arm(&self, arm: &str, measure: Measure) -> Vec<f64> {
        self.by_repetition(arm, measure).into_iter().map(|(_, value)| value).collect()
    }
}

/// The numbers of one trial.
fn of_trial(plan: &Plan, trial: &Trial) -> OfTrial {
    Measure::ALL.iter().filter_map(|&measure| Some((measure, value_of(plan, trial, measure)?))).collect()
}

/// One number of one trial; what was not measured, or has no meaning here, has none.
pub(crate) fn value_of(plan: &Plan, trial: &Trial, measure: Measure) -> Option<f64> {
    let value = match measure {
        Measure::PeakRss => {
            trial.rounds.iter().map(|round| round.peak_rss_bytes).max().map(|bytes| bytes as f64)
        }
        // A script that has ended has no memory to keep.
        Measure::IdleRss | Measure::IdlePss if matches!(plan.load, Load::Work) => None,
        Measure::IdleRss => trial.rounds.last().map(|round| round.idle_rss_bytes as f64),
        Measure::IdlePss => trial.rounds.last()?.idle_pss_bytes.map(|bytes| bytes as f64),
        Measure::Cpu => per_answer(&trial.rounds, |round| round.cpu_seconds),
        Measure::MinorFaults => per_answer(&trial.rounds, |round| round.minor_faults as f64),
        Measure::P50 | Measure::P99 => {
            let quantile = if measure == Measure::P50 { 0.5 } else { 0.99 };
            latencies(&trial.rounds)
                .filter(|histogram| !histogram.is_empty())
                .map(|histogram| histogram.value_at_quantile(quantile) as f64 / 1e6)
        }
        Measure::Throughput => {
            let seconds: f64 = trial.rounds.iter().map(|round| round.load_until - round.load_from).sum();
            let n_right = n_right(&trial.rounds)?;
            (seconds > 0.0).then(|| n_right as f64 / seconds)
        }
    };
    value.filter(|value| value.is_finite() && *value > 0.0)
}

/// Right answers of all rounds; `None` where one of them was not loaded by us.
fn n_right(rounds: &[Round]) -> Option<u64> {
    rounds.iter().map(|round| Some(round.load.as_ref()?.n_right)).sum()
}

/// The sum over the rounds per right answer, or as it is where nothing was sent by us.
fn per_answer(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Option<f64> {
    let sum: f64 = rounds.iter().map(of).sum();
    match n_right(rounds) {
        Some(0) => None,
        Some(n_right) => Some(sum / n_right as f64),
        None => Some(sum),
    }
}

/// The latencies of all rounds in one histogram; `None` where one is missing or unreadable, as a quantile
/// of the others would be of something else.
fn latencies(rounds: &[Round]) -> Option<Histogram<u64>> {
    let mut rounds = rounds.iter().map(|round| histogram(round.load.as_ref()?));
    let mut all = rounds.next()??;
    for histogram in rounds {
        all.add(histogram?).ok()?;
    }
    Some(all)
}

fn histogram(answers: &Answers) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(&answers.latency_us_hdr).ok()?;
    let mut histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    histogram.auto(true);
    Some(histogram)
}
