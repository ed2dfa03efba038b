//! The front: the arms that no other beats.

use crate::plan::{Arm, Plan};
use crate::result::{Measure, Verdict};
use crate::stats::{self, Pairs};

use super::values::Values;
use super::verdict;

/// What an arm may be better in.
const MEMORY: [Measure; 2] = [Measure::IdleRss, Measure::PeakRss];
/// What it may not be worse in for that.
const COST: [Measure; 2] = [Measure::Cpu, Measure::P99];

/// Whether no other arm is better in memory and not worse in anything else. Null arms are not on it: they
/// are the first arm again.
pub(super) fn has(plan: &Plan, values: &Values, arm: &Arm) -> bool {
    let rivals = plan.arms.iter().filter(|other| other.name != arm.name && other.is_null_of.is_none());
    arm.is_null_of.is_none()
        && values.n_trials(&arm.name) > 0
        && !rivals.into_iter().any(|rival| beats(plan, values, rival, arm))
}

fn beats(plan: &Plan, values: &Values, rival: &Arm, arm: &Arm) -> bool {
    let against = |measure: Measure| against(plan, values, rival, arm, measure);
    MEMORY.into_iter().any(|measure| against(measure) == Some(Verdict::Better))
        && MEMORY.into_iter().chain(COST).all(|measure| against(measure) != Some(Verdict::Worse))
}

/// What may be said of `rival` against `arm`.
fn against(plan: &Plan, values: &Values, rival: &Arm, arm: &Arm, measure: Measure) -> Option<Verdict> {
    let pairs = |left: &Arm, right: &Arm| {
        let mut pairs = Pairs::default();
        for (repetition, value) in values.by_repetition(&left.name, measure) {
            pairs.add(value, values.get(&right.name, repetition, measure).as_slice());
        }
        pairs
    };
    let first = plan.arms.first()?;
    let all: Vec<Pairs> = plan.arms.iter().skip(1).map(|other| pairs(other, first)).collect();
    let estimate = pairs(rival, arm).estimate(stats::common(&all))?;
    Some(verdict(measure, &estimate))
}
