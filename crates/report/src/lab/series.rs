//! The data of the chart that can be looked into: every trial's memory over time as a block of JSON that is
//! parsed only when it is shown.
//!
//! Invariant: nothing in a block can end it: the JSON has no `<`.

use serde_json::json;
use slackwater_lab::result::{Experiment, Trial};

use super::arms::Arm;
use super::live::Live;
use super::thinned::kept;
use super::tides::zero;
use crate::embedded::in_script;
use crate::visible;

/// Samples of all trials together that a page carries.
const MOST_SAMPLES: usize = 100_000;

/// One trial.
pub(super) struct Series {
    /// The arm's place in the plan, and its name.
    pub(super) arm: usize,
    pub(super) name: String,
    /// Whether it stands for its arm.
    pub(super) is_typical: bool,
    pub(super) json: String,
}

/// Stretches that each of `n_trials` is thinned to.
pub(super) fn stretches(n_trials: usize) -> usize {
    (MOST_SAMPLES / 2 / n_trials.max(1)).clamp(100, 1000)
}

/// How the data was thinned, if it was.
pub(super) fn note(experiment: &Experiment, stretches: usize) -> String {
    let longest = experiment.trials.iter().map(|trial| trial.series.len()).max().unwrap_or(0);
    if longest > 2 * stretches {
        format!(
            "Of up to {longest} samples a trial, this page carries the lowest and the highest of each of \
             {stretches} stretches; result.json has all."
        )
    } else {
        "Every sample is in the chart.".to_owned()
    }
}

/// Every trial of every arm.
pub(super) fn series(all: &[Arm<'_>], stretches: usize) -> Vec<Series> {
    let mut series = Vec::new();
    for arm in all {
        let typical = arm.typical_trial();
        for trial in arm.trials() {
            let is_typical = typical.is_some_and(|typical| std::ptr::eq(typical, trial));
            series.push(Series {
                arm: arm.index,
                name: visible(arm.name()).into_owned(),
                is_typical,
                json: in_script(&block(arm, trial, is_typical, stretches)),
            });
        }
    }
    series
}

fn block(arm: &Arm<'_>, trial: &Trial, is_typical: bool, stretches: usize) -> serde_json::Value {
    let zero = zero(trial);
    let seconds = |at: f64| ((at - zero) * 100.0).round() / 100.0;
    let kilobytes = |bytes: u64| (bytes + 500) / 1000;
    let values: Vec<u64> = trial.series.iter().map(|point| point.rss_bytes).collect();
    let drawn: Vec<_> = kept(&values, stretches).into_iter().map(|index| &trial.series[index]).collect();
    let known = Live::of(trial);
    let live: Vec<(f64, u64)> = known.points().map(|(at, bytes)| (seconds(at), kilobytes(bytes))).collect();
    json!({
        "arm": visible(arm.name()),
        "class": arm.class(),
        "label": format!("trial {}", trial.repetition + 1),
        "typical": is_typical,
        "t": drawn.iter().map(|point| seconds(point.at)).collect::<Vec<_>>(),
        "rss": drawn.iter().map(|point| kilobytes(point.rss_bytes)).collect::<Vec<_>>(),
        "live": live,
        "live_label": if known.is_lower_bound() { "live, at least" } else { "live" },
        "loads": trial.rounds.iter()
            .map(|round| (seconds(round.load_from), seconds(round.load_until)))
            .collect::<Vec<_>>(),
    })
}
