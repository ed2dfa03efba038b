//! What the trials say: every arm against the first, the front, and the arm to take.
//!
//! Invariant: follows from the plan and the trials alone, whatever their order. An arm is called better or
//! worse only where its interval leaves out 1, and its interval is as wide as comparing things with
//! themselves demands.

mod front;
mod recommend;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

pub use self::recommend::Objective;
pub(crate) use self::recommend::{answers_right, name};
use self::values::Values;
pub(crate) use self::values::value_of;
use crate::plan::{Arm, Plan};
use crate::result::{ArmCompared, Compared, Comparison, Experiment, Measure, Trial, Verdict};
use crate::stats::{self, Estimate, Pairs};
use crate::warnings;

/// Compares what a plan's trials measured, with the objective that most services have.
pub fn compare(plan: &Plan, trials: &[Trial]) -> Comparison {
    compare_for(plan, trials, &Objective::default())
}

/// Compares a whole experiment: the machine and the trials that say nothing give warnings too.
pub fn of_experiment(plan: &Plan, experiment: &Experiment) -> Comparison {
    let mut comparison = compare(plan, &experiment.trials);
    comparison.warnings.extend(warnings::of_surroundings(&experiment.surroundings));
    comparison.warnings.extend(warnings::of_voids(&experiment.voids));
    comparison
}

/// Compares what a plan's trials measured, and chooses by `objective`.
pub fn compare_for(plan: &Plan, trials: &[Trial], objective: &Objective) -> Comparison {
    let values = Values::of(plan, trials);
    let tables: BTreeMap<Measure, BTreeMap<&str, Compared>> =
        Measure::ALL.iter().map(|&measure| (measure, compare_by(plan, &values, measure))).collect();
    let arm = |arm: &Arm| {
        let measures: BTreeMap<Measure, Compared> = tables
            .iter()
            .filter_map(|(&measure, table)| Some((measure, *table.get(arm.name.as_str())?)))
            .collect();
        ArmCompared {
            arm: arm.name.clone(),
            n_trials: values.n_trials(&arm.name),
            on_front: front::has(plan, &values, arm),
            measures,
        }
    };
    let mut comparison = Comparison {
        baseline: baseline(plan).to_owned(),
        arms: plan.arms.iter().map(arm).collect(),
        recommended: None,
        warnings: Vec::new(),
    };
    comparison.recommended = recommend::recommend(plan, &comparison, trials, objective);
    comparison.warnings = warnings::of_plan(plan);
    comparison.warnings.extend(warnings::of_trials(plan, trials));
    comparison.warnings.extend(warnings::of_comparison(plan, &comparison, trials));
    comparison
}

fn baseline(plan: &Plan) -> &str {
    plan.arms.first().map_or("", |arm| arm.name.as_str())
}

/// The arms by one measure; an arm that has none of it is absent.
fn compare_by<'a>(plan: &'a Plan, values: &Values, measure: Measure) -> BTreeMap<&'a str, Compared> {
    let pairs: Vec<(&Arm, Pairs)> =
        plan.arms.iter().skip(1).map(|arm| (arm, to_baseline(plan, values, arm, measure))).collect();
    let common = stats::common(pairs.iter().map(|(_, pairs)| pairs));
    let mut table = BTreeMap::new();
    if let Some(median) = stats::median(&values.of_arm(baseline(plan), measure)) {
        let itself = Compared { median, ratio: 1.0, low: 1.0, high: 1.0, verdict: Verdict::Baseline };
        table.insert(baseline(plan), itself);
    }
    for (arm, pairs) in &pairs {
        if let Some(median) = stats::median(&values.of_arm(&arm.name, measure))
            && let Some(estimate) = pairs.estimate(common)
        {
            let Estimate { ratio, low, high, .. } = estimate;
            let verdict = verdict(measure, &estimate);
            table.insert(arm.name.as_str(), Compared { median, ratio, low, high, verdict });
        }
    }
    table
}

/// The ratios of `arm` to the baseline, which its null arms stand for too: save for a null arm, which is
/// compared with the first arm alone.
fn to_baseline(plan: &Plan, values: &Values, arm: &Arm, measure: Measure) -> Pairs {
    let bases: Vec<&str> = plan
        .arms
        .iter()
        .enumerate()
        .filter(|(idx, other)| {
            *idx == 0 || (arm.is_null_of.is_none() && other.is_null_of.as_deref() == Some(baseline(plan)))
        })
        .map(|(_, other)| other.name.as_str())
        .collect();
    let mut pairs = Pairs::default();
    for (repetition, value) in values.by_repetition(&arm.name, measure) {
        let of_bases: Vec<f64> =
            bases.iter().filter_map(|base| values.get(base, repetition, measure)).collect();
        pairs.add(value, &of_bases);
    }
    pairs
}

/// What may be said of a ratio by `measure`.
fn verdict(measure: Measure, estimate: &Estimate) -> Verdict {
    let (is_lower, is_higher) = (estimate.high < 1.0, estimate.low > 1.0);
    match (estimate.is_interval, is_lower, is_higher) {
        (false, ..) => Verdict::TooFew,
        (true, false, false) => Verdict::NoDifferenceSeen,
        (true, true, _) if measure.higher_is_better() => Verdict::Worse,
        (true, _, true) if !measure.higher_is_better() => Verdict::Worse,
        (true, ..) => Verdict::Better,
    }
}
