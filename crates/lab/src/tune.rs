//! `lab tune`: which settings a service should have, searched by successive halving within a budget.
//!
//! Every candidate has a short load first; the best third goes on to a longer one, until one is left. That
//! one then meets the first arm and its null arm at the plan's full length, and only what holds there is
//! recommended: a search among many finds something good by luck.
//!
//! Invariant: no stage begins that would not end within the budget, as long as trials take what they took
//! so far; the decision is by [`compare`](crate::compare) on the confirmation alone.

mod budget;
mod outcome;
#[cfg(test)]
mod simulation;
mod space;

use std::error::Error;
use std::time::Duration;

pub use self::outcome::{Ranked, Stage, Tuned};
pub use self::space::space;

use self::budget::Budget;
use crate::compare::{Objective, compare_for};
use crate::plan::{Arm, Plan};
use crate::result::{ArmCompared, Comparison, Measure, Trial};

/// Of so many candidates one goes on.
const ONE_OF: usize = 3;
/// How much an excess of cost weighs, against memory: a bound is a bound.
const PENALTY: f64 = 4.0;
/// What a short load may show of excess before it counts.
const SLACK: f64 = 0.04;

/// Why nothing was searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// Nobody knows how long a trial takes.
    #[error("the plan does not say how long a round of load is, so no budget can be divided")]
    UnknownLength,
    /// Not even a confirmation fits.
    #[error("the budget of {} s is too short", budget.as_secs())]
    BudgetTooShort {
        /// What there is.
        budget: Duration,
        /// What it takes at the least.
        least: Duration,
    },
    /// There is nothing to choose from.
    #[error("there are no candidates")]
    NoCandidates,
    /// A stage could not be run.
    #[error("{stage} could not be run")]
    Run {
        /// Its name.
        stage: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TuneError {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownLength => "use the open or closed model of load".to_owned(),
            Self::BudgetTooShort { least, .. } => format!(
                "it takes {:.0} min at the least with these rounds; raise --budget, or shorten duration and idle",
                (least.as_secs_f64() / 60.0).ceil()
            ),
            Self::NoCandidates => "name allocators whose libraries are installed".to_owned(),
            Self::Run { .. } => "slackwater lab run with the same plan tells more".to_owned(),
        }
    }
}

/// Runs what the search wants to know.
pub trait Runner {
    /// Runs a plan and gives its trials. `stage` is a word that can name a folder.
    fn run(&mut self, stage: &str, plan: &Plan) -> Result<Vec<Trial>, Box<dyn Error + Send + Sync>>;

    /// The time since the search began.
    fn spent(&self) -> Duration;
}

/// Searches `space` for the arm that meets `objective` best, against the first arm of `plan`.
pub fn search(
    plan: &Plan,
    space: Vec<Arm>,
    budget: Duration,
    objective: &Objective,
    runner: &mut dyn Runner,
) -> Result<Tuned, TuneError> {
    let mut budget = Budget::new(plan, budget)?;
    let mut candidates = space;
    if candidates.is_empty() {
        return Err(TuneError::NoCandidates);
    }
    let mut tuned = Tuned::new(plan, objective);
    let probe = budget.probe();
    let before = runner.spent();
    let trials = run(runner, "probe", &probe.plan(plan, &[]))?;
    budget.learn(&probe, &trials, runner.spent().saturating_sub(before));
    while candidates.len() > 1 {
        let Some(rung) = budget.rung(candidates.len(), runner.spent()) else { break };
        for arm in candidates.split_off(rung.n_candidates.min(candidates.len())) {
            tuned.left_out.push(arm.name);
        }
        let plan = rung.plan(plan, &candidates);
        let name = format!("rung-{}", tuned.stages.len() + 1);
        let before = runner.spent();
        let trials = run(runner, &name, &plan)?;
        budget.learn(&rung, &trials, runner.spent().saturating_sub(before));
        let comparison = compare_for(&plan, &trials, objective);
        let mut ranked = rank(&candidates, &comparison, objective, &trials);
        let n_kept = candidates.len().div_ceil(ONE_OF);
        ranked.sort_by(|left, right| left.score.total_cmp(&right.score));
        candidates = ranked
            .iter()
            .take(n_kept)
            .filter(|one| one.score.is_finite())
            .filter_map(|one| candidates.iter().find(|arm| arm.name == one.arm).cloned())
            .collect();
        tuned.stages.push(Stage { name, load: rung.load, repetitions: rung.repetitions, ranked });
        tuned.warnings = comparison.warnings;
    }
    let Some(winner) = candidates.into_iter().next() else { return Ok(tuned) };
    if let Some(rung) = budget.confirmation(runner.spent()) {
        let mut plan = rung.plan(plan, std::slice::from_ref(&winner));
        plan.arms.extend(plan.arms.first().map(Arm::again));
        let trials = run(runner, "confirmation", &plan)?;
        tuned.confirmed = Some(compare_for(&plan, &trials, objective));
    }
    tuned.winner = Some(winner);
    Ok(tuned)
}

fn run(runner: &mut dyn Runner, stage: &str, plan: &Plan) -> Result<Vec<Trial>, TuneError> {
    runner.run(stage, plan).map_err(|source| TuneError::Run { stage: stage.to_owned(), source })
}

/// The candidates with what decides about them; one without a trial, or with wrong answers, is last.
fn rank(candidates: &[Arm], comparison: &Comparison, objective: &Objective, trials: &[Trial]) -> Vec<Ranked> {
    let rank = |arm: &Arm| {
        let compared = comparison.arms.iter().find(|one| one.arm == arm.name);
        let memory = compared.and_then(|compared| objective.memory_ratio(compared));
        let is_right = crate::compare::answers_right(trials, &arm.name);
        let score = match (memory, compared) {
            (Some(memory), Some(compared)) if is_right => memory.ln() + PENALTY * excess(objective, compared),
            _ => f64::INFINITY,
        };
        let cpu = compared.and_then(|one| one.measures.get(&Measure::Cpu)).map(|compared| compared.ratio);
        Ranked { arm: arm.name.clone(), memory, cpu, score }
    };
    candidates.iter().map(rank).collect()
}

/// How far beyond its bounds an arm is, as a logarithm, less what is noise in a short load.
fn excess(objective: &Objective, compared: &ArmCompared) -> f64 {
    let beyond = |&(measure, most): &(Measure, f64)| {
        let ratio = compared.measures.get(&measure)?.ratio;
        Some(((ratio / most).ln() - SLACK / (compared.n_trials.max(1) as f64).sqrt()).max(0.0))
    };
    objective.within.iter().filter_map(beyond).sum()
}
