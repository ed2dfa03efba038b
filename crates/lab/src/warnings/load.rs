//! Whether what was asked for was sent, and answered.

use super::{Kind, trials_of};
use crate::plan::{Load, Plan};
use crate::result::{Answers, Trial, Warning};
use crate::stats::median;

/// One request in a hundred sent later than this is mentioned.
const LATE_SECONDS: f64 = 0.002;
/// A service that answers fewer of the requests that were due in time has a queue.
const KEPT_UP: f64 = 0.97;
/// The share of a round that counts as its beginning.
const BEGINNING: f64 = 0.2;
/// A shorter round has too few samples in its beginning.
const SHORTEST_TO_JUDGE_SECONDS: f64 = 10.0;
/// A beginning that costs so much more than the rest is not yet the service at work.
const UNLIKE: f64 = 0.2;

pub(super) fn warnings(plan: &Plan, trials: &[Trial]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for arm in &plan.arms {
        let trials = trials_of(trials, &arm.name);
        let answers: Vec<&Answers> =
            trials.iter().flat_map(|trial| &trial.rounds).filter_map(|round| round.load.as_ref()).collect();
        let sum = |of: fn(&Answers) -> u64| answers.iter().map(|answers| of(answers)).sum::<u64>();
        let (n_due, n_wrong) = (sum(|one| one.n_due), sum(|one| one.n_wrong));
        if n_wrong > 0 {
            let example = answers.iter().find_map(|one| one.example_of_wrong.as_deref()).unwrap_or("");
            warnings.push(Kind::WrongAnswers.of(
                &arm.name,
                format!(
                    "{n_wrong} of {n_due} answers were wrong ({example}): an arm that breaks the service is no \
                     choice; see what it answers, or correct expect"
                ),
            ));
        }
        let (n_timeouts, n_failed) = (sum(|one| one.n_timeouts), sum(|one| one.n_failed));
        if n_timeouts + n_failed > 0 {
            warnings.push(Kind::Unanswered.of(
                &arm.name,
                format!(
                    "of {n_due} requests {n_timeouts} had no answer in time and {n_failed} failed: latency is \
                     of the others only; lower the rate or raise timeout and connections"
                ),
            ));
        }
        warnings.extend(saturated(plan, &arm.name, &trials));
        warnings.extend(cold(plan, &arm.name, &trials));
    }
    warnings.extend(late(trials));
    warnings
}

/// The latest of all arms: it is one generator.
fn late(trials: &[Trial]) -> Option<Warning> {
    let all = trials.iter().flat_map(|trial| {
        let answers = trial.rounds.iter().filter_map(|round| round.load.as_ref());
        answers.map(move |answers| (trial, answers.late_p99_seconds))
    });
    let (trial, late) = all.max_by(|left, right| left.1.total_cmp(&right.1))?;
    (late > LATE_SECONDS).then(|| {
        Kind::GeneratorFellBehind.said(format!(
            "one request in a hundred was sent {:.1} ms late or more (worst in '{}', repetition {}), for want of \
             processor time; lower the rate, or keep a processor for the generator (cpus, load_cpus)",
            late * 1e3,
            trial.arm,
            trial.repetition + 1
        ))
    })
}

/// The rate of right answers against that of requests.
fn saturated(plan: &Plan, arm: &str, trials: &[&Trial]) -> Option<Warning> {
    let Load::Open { steps, .. } = &plan.load else { return None };
    let planned: f64 = steps.iter().map(|step| step.duration.as_secs_f64()).sum();
    let kept_up = |trial: &&Trial| {
        let round = |round: &crate::result::Round| {
            let answers = round.load.as_ref().filter(|answers| answers.n_due > 0)?;
            let answered = answers.n_right as f64 / answers.n_due as f64;
            // Answers after the last request was due are a queue that is worked off.
            Some(answered * (planned / (round.load_until - round.load_from)).min(1.0))
        };
        median(&trial.rounds.iter().filter_map(round).collect::<Vec<f64>>())
    };
    let share = median(&trials.iter().filter_map(kept_up).collect::<Vec<f64>>())?;
    (share < KEPT_UP).then(|| {
        Kind::Saturated.of(
            arm,
            format!(
                "the service kept up with {:.0} % of the rate: latency tells how long the queue was, and memory \
                 what was queued; lower the rate until every arm keeps up",
                share * 100.0
            ),
        )
    })
}

/// Processor time in the first part of the load against that in the rest, at a constant rate.
fn cold(plan: &Plan, arm: &str, trials: &[&Trial]) -> Option<Warning> {
    let is_constant = match &plan.load {
        Load::Open { steps, .. } => steps.len() == 1,
        Load::Closed { .. } => true,
        Load::External { .. } | Load::Work => false,
    };
    let excess = |trial: &&Trial| {
        let round = trial.rounds.first()?;
        let length = round.load_until - round.load_from;
        if length < SHORTEST_TO_JUDGE_SECONDS {
            return None;
        }
        let cut = round.load_from + BEGINNING * length;
        let cpu_at =
            |at: f64| trial.series.iter().find(|point| point.at >= at).map(|point| point.cpu_seconds);
        let (from, middle, until) = (cpu_at(round.load_from)?, cpu_at(cut)?, cpu_at(round.load_until)?);
        let rest = (until - middle) / (1.0 - BEGINNING);
        (rest > 0.1).then(|| (middle - from) / BEGINNING / rest - 1.0)
    };
    let excess = median(&trials.iter().filter_map(excess).collect::<Vec<f64>>())?;
    (is_constant && excess > UNLIKE).then(|| {
        Kind::WarmUpTooShort.of(
            arm,
            format!(
                "the first fifth of the load took {:.0} % more processor time than the rest: the service was \
                 not warm; set warm_up to more than {:.0} s",
                excess * 100.0,
                plan.schedule.warm_up.as_secs_f64()
            ),
        )
    })
}
