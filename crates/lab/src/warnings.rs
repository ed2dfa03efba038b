//! What makes a measurement doubtful: a closed set of words, each with what was seen and what to do.
//!
//! Invariant: a warning is about the measurement, never about which arm is better; it is given on
//! evidence in the plan or the result, and what could not be read gives none.

mod load;
mod machine;
mod plan;
mod service;
mod spread;
#[cfg(test)]
mod tests;

use slackwater_base::words;

pub use self::machine::of_surroundings;
pub use self::plan::of_plan;

use crate::plan::Plan;
use crate::result::{Comparison, Trial, Void, Warning};

words! {
    /// Something about the measurement that a reader has to know.
    Kind {
        /// Unused memory has not gone back when the idle time is over.
        IdleTooShort = "idle_too_short",
        /// Service and generator take processor time from each other.
        SharedProcessors = "shared_processors",
        /// Too few repetitions for an interval, or for a narrow one.
        FewRepetitions = "few_repetitions",
        /// Trials that say nothing.
        VoidTrials = "void_trials",
        /// An arm that was compared with itself came out different.
        NullDiffers = "null_differs",
        /// Numbers moved with time, in all arms.
        Drift = "drift",
        /// A difference of 5 % would not have been seen.
        IntervalTooWide = "interval_too_wide",
        /// Requests were sent late.
        GeneratorFellBehind = "generator_fell_behind",
        /// The service did not keep up with the rate.
        Saturated = "saturated",
        /// The first seconds of load were still unlike the rest.
        WarmUpTooShort = "warm_up_too_short",
        /// Answers were wrong.
        WrongAnswers = "wrong_answers",
        /// Requests had no answer.
        Unanswered = "unanswered",
        /// Workers were replaced during trials.
        WorkersReplaced = "workers_replaced",
        /// An arm did not run on the allocator that it asks for.
        AllocatorNotInForce = "allocator_not_in_force",
        /// A setting was not what an arm asks for.
        SettingNotInForce = "setting_not_in_force",
        /// Nobody saw what was in force.
        NotVerified = "not_verified",
        /// Transparent huge pages are always on.
        HugePages = "huge_pages",
        /// Other programs or other machines used the processors.
        BusyMachine = "busy_machine",
        /// Somebody set the clock.
        ClockStepped = "clock_stepped",
        /// Part of the service was swapped out.
        Swap = "swap",
        /// The service ran into its memory limit.
        MemoryLimit = "memory_limit",
    }
}

/// What the trials themselves show.
pub fn of_trials(plan: &Plan, trials: &[Trial]) -> Vec<Warning> {
    let mut warnings = load::warnings(plan, trials);
    warnings.extend(service::warnings(plan, trials));
    warnings.extend(machine::of_trials(trials));
    warnings
}

/// What the comparison shows about itself.
pub fn of_comparison(plan: &Plan, comparison: &Comparison, trials: &[Trial]) -> Vec<Warning> {
    spread::warnings(plan, comparison, trials)
}

/// Trials that say nothing.
pub fn of_voids(voids: &[Void]) -> Vec<Warning> {
    by_arm(voids.iter().map(|void| void.arm.as_str()))
        .into_iter()
        .map(|(arm, n)| {
            let reason = voids.iter().rev().find(|void| void.arm == arm).map_or("", |void| &void.reason);
            Kind::VoidTrials
                .of(arm, format!("{} void and not counted; the last: {reason}", counted(n, "trial")))
        })
        .collect()
}

impl Kind {
    /// About the whole experiment.
    fn said(self, message: impl Into<String>) -> Warning {
        Warning { kind: self.key().to_owned(), arm: None, message: message.into() }
    }

    /// About one arm.
    fn of(self, arm: &str, message: impl Into<String>) -> Warning {
        Warning { kind: self.key().to_owned(), arm: Some(arm.to_owned()), message: message.into() }
    }
}

/// `1 trial`, `2 trials`.
fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// How often each name comes, in the order in which they come first.
fn by_arm<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, n)) => *n += 1,
            None => counts.push((name, 1)),
        }
    }
    counts
}

/// Trials of each arm of the plan.
fn trials_of<'a>(trials: &'a [Trial], arm: &str) -> Vec<&'a Trial> {
    trials.iter().filter(|trial| trial.arm == arm).collect()
}
