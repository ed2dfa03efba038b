//! What the numbers say about themselves: null arms, drift, width.

use super::{Kind, counted};
use crate::compare::{name, value_of};
use crate::plan::Plan;
use crate::result::{Comparison, Measure, Trial, Verdict, Warning};
use crate::stats::{FEWEST, mean};

/// What is to be seen, in those measures that decide.
const EFFECT: f64 = 0.05;
const DECIDING: [Measure; 3] = [Measure::IdleRss, Measure::PeakRss, Measure::Cpu];
/// How many standard errors a slope over time has to be away from nothing: of many measures one is always
/// a little slanted.
const SLOPE_ERRORS: f64 = 4.0;

pub(super) fn warnings(plan: &Plan, comparison: &Comparison, trials: &[Trial]) -> Vec<Warning> {
    let mut warnings = null_differs(plan, comparison);
    warnings.extend(few(plan, comparison));
    warnings.extend(too_wide(plan, comparison));
    warnings.extend(drift(plan, trials));
    warnings
}

fn is_null(plan: &Plan, arm: &str) -> bool {
    plan.arms.iter().any(|other| other.name == arm && other.is_null_of.is_some())
}

fn null_differs(plan: &Plan, comparison: &Comparison) -> Vec<Warning> {
    let nulls = comparison.arms.iter().filter(|arm| is_null(plan, &arm.arm));
    nulls
        .filter_map(|arm| {
            let different: Vec<String> = arm
                .measures
                .iter()
                .filter(|(_, compared)| matches!(compared.verdict, Verdict::Better | Verdict::Worse))
                .map(|(&measure, compared)| format!("{} {:.2}", name(measure), compared.ratio))
                .collect();
            (!different.is_empty()).then(|| {
                Kind::NullDiffers.of(
                    &arm.arm,
                    format!(
                        "this is the first arm again, and yet it came out different ({}): do not believe \
                         differences of that size between others; repeat more often, on a quieter machine",
                        different.join(", ")
                    ),
                )
            })
        })
        .collect()
}

/// Trials that were lost; of a plan that asks for too few, its own warning says so.
fn few(plan: &Plan, comparison: &Comparison) -> Option<Warning> {
    let fewest = comparison.arms.iter().min_by_key(|arm| arm.n_trials)?;
    (fewest.n_trials < FEWEST && plan.schedule.repetitions >= FEWEST).then(|| {
        Kind::FewRepetitions.of(
            &fewest.arm,
            format!(
                "{} that count: with fewer than {FEWEST} nothing can be called better or worse; see why the \
                 others do not count, and run it again",
                counted(fewest.n_trials, "trial")
            ),
        )
    })
}

/// The widest interval of those that decide, where no difference was seen.
fn too_wide(plan: &Plan, comparison: &Comparison) -> Option<Warning> {
    let arms = comparison.arms.iter().filter(|arm| !is_null(plan, &arm.arm));
    let all = arms.flat_map(|arm| {
        DECIDING.into_iter().filter_map(move |measure| {
            let compared = arm.measures.get(&measure)?;
            let half = (compared.high / compared.low).ln() / 2.0;
            (compared.verdict == Verdict::NoDifferenceSeen).then_some((arm, measure, half))
        })
    });
    let (arm, measure, half) = all.max_by(|left, right| left.2.total_cmp(&right.2))?;
    // The width shrinks with the root of the repetitions.
    let needed = (arm.n_trials as f64 * (half / EFFECT).powi(2)).ceil();
    (half > EFFECT).then(|| {
        Kind::IntervalTooWide.of(
            &arm.arm,
            format!(
                "{} is known to within {:.0} % only: a difference of {:.0} % would not have been seen; it takes \
                 about {needed:.0} repetitions, longer rounds or a quieter machine",
                name(measure),
                half.exp_m1() * 100.0,
                EFFECT * 100.0
            ),
        )
    })
}

/// Whether all arms moved with time, as a machine does that warms up or fills.
fn drift(plan: &Plan, trials: &[Trial]) -> Option<Warning> {
    let worst = DECIDING
        .into_iter()
        .filter_map(|measure| Some((measure, change_over_time(plan, trials, measure)?)))
        .max_by(|left, right| left.1.abs().total_cmp(&right.1.abs()))?;
    let (measure, change) = worst;
    Some(Kind::Drift.said(format!(
        "{} changed by {:+.0} % from the first trial to the last, whatever the arm: pairs of the same repetition \
         are compared, so it touches both sides, but look what else ran",
        name(measure),
        change.exp_m1() * 100.0
    )))
}

/// The change of the logarithm over the experiment, if it is more than noise and matters.
fn change_over_time(plan: &Plan, trials: &[Trial], measure: Measure) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for arm in &plan.arms {
        let of_arm: Vec<(f64, f64)> = trials
            .iter()
            .filter(|trial| trial.arm == arm.name)
            .filter_map(|trial| {
                Some((trial.started_unix_ms as f64 / 1e3, value_of(plan, trial, measure)?.ln()))
            })
            .collect();
        let centre = mean(&of_arm.iter().map(|(_, log)| *log).collect::<Vec<f64>>());
        // An arm with one trial says nothing about time.
        if let Some(centre) = centre.filter(|_| of_arm.len() > 1) {
            points.extend(of_arm.into_iter().map(|(at, log)| (at, log - centre)));
        }
    }
    let (times, logs): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    let freedom = times.len().checked_sub(plan.arms.len() + 1).filter(|freedom| *freedom >= 4)?;
    let (centre, level) = (mean(&times)?, mean(&logs)?);
    let spread: f64 = times.iter().map(|at| (at - centre).powi(2)).sum();
    let slope = times.iter().zip(&logs).map(|(at, log)| (at - centre) * (log - level)).sum::<f64>() / spread;
    let left: f64 =
        times.iter().zip(&logs).map(|(at, log)| (log - level - slope * (at - centre)).powi(2)).sum();
    let error = (left / freedom as f64 / spread).sqrt();
    let span = times.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        - times.iter().copied().fold(f64::INFINITY, f64::min);
    let change = slope * span;
    (change.abs() > EFFECT && slope.abs() > SLOPE_ERRORS * error).then_some(change)
}
