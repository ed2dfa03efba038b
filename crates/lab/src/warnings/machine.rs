//! What the machine did meanwhile.

use super::Kind;
use crate::result::{Surroundings, Trial, Warning};

/// The share of a trial's time in which others had a processor that is mentioned.
const STOLEN: f64 = 0.01;
/// The same, for other programs of this machine: a tenth of one processor.
const OTHERS: f64 = 0.1;

/// What the machine is set to.
pub fn of_surroundings(surroundings: &Surroundings) -> Vec<Warning> {
    let always = surroundings
        .huge_pages
        .as_deref()
        .is_some_and(|mode| mode.contains("[always]") || mode.trim() == "always");
    if !always {
        return Vec::new();
    }
    vec![Kind::HugePages.said(
        "transparent huge pages are always on: freed memory goes back only when 2 MiB of it are free together, \
         in every arm; measure with /sys/kernel/mm/transparent_hugepage/enabled as the service's machine has it",
    )]
}

pub(super) fn of_trials(trials: &[Trial]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let most = |of: &dyn Fn(&Trial) -> Option<f64>| {
        let values = trials.iter().filter_map(|trial| Some((trial, of(trial)?)));
        values.max_by(|left, right| left.1.total_cmp(&right.1))
    };
    let share = |seconds: Option<f64>, trial: &Trial| {
        let length = trial.rounds.last()?.idle_until;
        (length > 0.0).then_some(seconds? / length)
    };
    if let Some((trial, stolen)) = most(&|trial| share(trial.disturbances.stolen_cpu_seconds, trial))
        && stolen > STOLEN
    {
        warnings.push(Kind::BusyMachine.said(format!(
            "other virtual machines took {:.1} % of a processor's time (worst in '{}', repetition {}): CPU and \
             latency are those of a slower machine; measure on another one, or at another time",
            stolen * 100.0,
            trial.arm,
            trial.repetition + 1
        )));
    }
    if let Some((trial, others)) = most(&|trial| share(trial.disturbances.others_cpu_seconds, trial))
        && others > OTHERS
    {
        warnings.push(Kind::BusyMachine.said(format!(
            "other programs used {:.0} % of a processor (worst in '{}', repetition {}): stop them, or give the \
             service processors of its own",
            others * 100.0,
            trial.arm,
            trial.repetition + 1
        )));
    }
    if let Some(step) = trials.iter().find_map(|trial| trial.disturbances.clock_step_seconds) {
        warnings.push(Kind::ClockStepped.said(format!(
            "somebody set the clock by {step:+.1} s: durations are unharmed, as they are measured on the \
             monotonic clock, but the times of day in the result and in logs are not; look what sets it"
        )));
    }
    let bytes = |trial: &Trial| trial.disturbances.swapped_bytes.map(|bytes| bytes as f64);
    if let Some((trial, swapped)) = most(&bytes)
        && swapped > 0.0
    {
        warnings.push(Kind::Swap.of(
            &trial.arm,
            format!(
                "up to {} of the service were swapped out: RSS is less than what it holds; switch swap off, or \
                 use a machine with more memory",
                slackwater_base::Bytes(swapped as u64)
            ),
        ));
    }
    let hits = |trial: &&Trial| trial.disturbances.n_limit_hits.is_some_and(|n| n > 0);
    for (arm, n) in super::by_arm(trials.iter().filter(hits).map(|trial| trial.arm.as_str())) {
        warnings.push(Kind::MemoryLimit.of(
            arm,
            format!(
                "it ran into its memory limit in {}: peak and CPU are those of a service that is short of \
                 memory; raise memory_limit unless that is what is to be seen",
                super::counted(n, "trial")
            ),
        ));
    }
    warnings
}
