//! How a budget of time is divided: the confirmation is set aside, and each rung gets an equal share of
//! the rest. A probe comes first: how long a service takes to start is not in any plan.

use std::time::Duration;

use super::{ONE_OF, TuneError};
use crate::plan::{Arm, LEAST_STEP, Load, Plan, START_AND_STOP, expected_of_trial};
use crate::result::Trial;
use crate::stats::{self, FEWEST};

/// A round of load that is shorter shows nothing.
const SHORTEST_LOAD: Duration = Duration::from_secs(3);
/// A rung does not repeat more often: the next one is better placed.
const MOST_REPETITIONS: usize = 3;
/// The arms of the confirmation: the first, the winner, the first again.
const CONFIRMED: u32 = 3;
/// What it takes to stop a service and to begin the next trial.
const STOP: Duration = Duration::from_secs(1);

/// What is left of the time.
#[derive(Debug)]
pub(super) struct Budget {
    total: Duration,
    /// One trial of the whole plan.
    full_trial: Duration,
    /// One round of load of the whole plan.
    full_load: Duration,
    /// What a trial of one round takes besides the load.
    around_load: Duration,
    /// What of that is for start and stop.
    start_and_stop: Duration,
    /// What the plan asks for.
    repetitions: usize,
    /// What trials take, to what was expected.
    pace: f64,
}

/// What one stage is.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Rung {
    /// Candidates that there is time for.
    pub(super) n_candidates: usize,
    /// How long one round of load is.
    pub(super) load: Duration,
    pub(super) repetitions: usize,
    pub(super) rounds: usize,
}

impl Budget {
    pub(super) fn new(plan: &Plan, total: Duration) -> Result<Self, TuneError> {
        let full_trial = expected_of_trial(plan).ok_or(TuneError::UnknownLength)?;
        let full_load = plan.load.duration().ok_or(TuneError::UnknownLength)?;
        let one_round =
            Plan { schedule: crate::plan::Schedule { rounds: 1, ..plan.schedule.clone() }, ..plan.clone() };
        let around_load = expected_of_trial(&one_round).ok_or(TuneError::UnknownLength)? - full_load;
        let budget = Self {
            total,
            full_trial,
            full_load,
            around_load,
            start_and_stop: START_AND_STOP,
            repetitions: plan.schedule.repetitions,
            pace: 1.0,
        };
        // A probe, a confirmation, and one rung of two candidates beside the first arm.
        let least = budget.full_trial * CONFIRMED * FEWEST as u32 + budget.shortest_trial() * 4;
        if total < least { Err(TuneError::BudgetTooShort { budget: total, least }) } else { Ok(budget) }
    }

    fn shortest_trial(&self) -> Duration {
        self.around_load + SHORTEST_LOAD.min(self.full_load)
    }

    /// What is set aside for the confirmation: half of the budget at the most, unless the fewest
    /// repetitions need more.
    fn set_aside(&self) -> Duration {
        let once = self.full_trial * CONFIRMED;
        let repetitions =
            times(self.total.div_f64(2.0 * self.pace), once).clamp(FEWEST, self.repetitions.max(FEWEST));
        once * repetitions as u32
    }

    /// The first arm once, to see how long a trial takes here.
    pub(super) fn probe(&self) -> Rung {
        let load = SHORTEST_LOAD.min(self.full_load);
        Rung { n_candidates: 0, load, repetitions: 1, rounds: 1 }
    }

    /// The next rung for so many candidates; `None` when there is no time for two of them.
    pub(super) fn rung(&self, n_candidates: usize, spent: Duration) -> Option<Rung> {
        let left = self.total.checked_sub(spent)?.div_f64(self.pace).checked_sub(self.set_aside())?;
        // The first arm runs in every rung: numbers of two rungs are of different loads.
        let fits = |n: &usize| self.shortest_trial() * (n + 1) as u32 <= left / n_rungs(*n);
        let n_candidates = (2..=n_candidates).rev().find(fits)?;
        let share = left / n_rungs(n_candidates);
        let n_arms = n_candidates + 1;
        let for_load = (share / n_arms as u32).saturating_sub(self.around_load);
        let load = for_load.clamp(SHORTEST_LOAD.min(self.full_load), self.full_load);
        let trial = self.around_load + load;
        let repetitions = times(share, trial * n_arms as u32).clamp(1, MOST_REPETITIONS);
        Some(Rung { n_candidates, load, repetitions, rounds: 1 })
    }

    /// The confirmation with as many repetitions as there is time for, up to what the plan asks for;
    /// `None` when that is none.
    pub(super) fn confirmation(&self, spent: Duration) -> Option<Rung> {
        let left = self.total.checked_sub(spent)?.div_f64(self.pace);
        let once = self.full_trial * CONFIRMED;
        let repetitions = times(left, once).min(self.repetitions.max(FEWEST));
        let rounds = 0; // As the plan has them.
        (repetitions > 0).then_some(Rung { n_candidates: 1, load: self.full_load, repetitions, rounds })
    }

    /// The trials of a rung took this long, all together.
    pub(super) fn learn(&mut self, rung: &Rung, trials: &[Trial], took: Duration) {
        let ready: Vec<f64> = trials.iter().map(|trial| trial.ready_seconds).collect();
        let ready = stats::median(&ready).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // Starts that were quick once may be slow again.
        let longer = (ready.unwrap_or_default() + STOP).saturating_sub(self.start_and_stop);
        self.start_and_stop += longer;
        self.around_load += longer;
        self.full_trial += longer;
        let expected = (self.around_load + rung.load) * trials.len() as u32;
        let pace = took.as_secs_f64() / expected.as_secs_f64().max(1e-3);
        self.pace = pace.clamp(1.0, 10.0);
    }
}

/// Rungs that it takes to come from so many candidates to one.
fn n_rungs(n_candidates: usize) -> u32 {
    std::iter::successors(Some(n_candidates), |n| (*n > 1).then(|| n.div_ceil(ONE_OF))).count() as u32 - 1
}

fn times(share: Duration, each: Duration) -> usize {
    (share.as_secs_f64() / each.as_secs_f64().max(1e-3)) as usize
}

impl Rung {
    /// The plan of this rung: the first arm and the candidates, under the load scaled to its length.
    pub(super) fn plan(&self, whole: &Plan, candidates: &[Arm]) -> Plan {
        let mut plan = whole.clone();
        let scale = |length: Duration| {
            let full = whole.load.duration().unwrap_or(length).as_secs_f64();
            length.mul_f64(self.load.as_secs_f64() / full.max(1e-3)).max(LEAST_STEP)
        };
        match &mut plan.load {
            Load::Open { steps, .. } => {
                for step in steps {
                    step.duration = scale(step.duration);
                }
            }
            Load::Closed { duration, .. } => *duration = scale(*duration),
            Load::External { .. } | Load::Work => {}
        }
        plan.schedule.repetitions = self.repetitions;
        if self.rounds > 0 {
            plan.schedule.rounds = self.rounds;
        }
        plan.arms = whole.arms.iter().take(1).chain(candidates).cloned().collect();
        plan.limits.clear();
        plan
    }
}
