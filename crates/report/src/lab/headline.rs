//! What an experiment comes down to, in a sentence or two, with the numbers that carry it.
//!
//! Invariant: only what the comparison calls better or worse is called so here.

use slackwater_lab::result::{Compared, Experiment, Measure, Verdict};

use super::arms::{Arm, Standing, arms, baseline, is_per_answer};
use super::words::{amount, difference, list, name};
use crate::visible;

/// The sentences.
pub(super) fn headline(experiment: &Experiment) -> String {
    let all = arms(experiment);
    let Some(comparison) = &experiment.comparison else {
        return "Nothing can be compared yet: not every arm has had a trial of full value.".to_owned();
    };
    let baseline_name = visible(baseline(experiment).unwrap_or_default()).into_owned();
    let Some(recommended) = &comparison.recommended else {
        return format!("No arm can be recommended over {baseline_name}.");
    };
    let Some(arm) = all.iter().find(|arm| arm.name() == recommended.arm) else {
        return format!("{} is recommended.", visible(&recommended.arm));
    };
    if recommended.arm == comparison.baseline {
        return format!("Stay with {baseline_name}: by this measurement no other arm is to be preferred.");
    }
    sentence(arm, &all, &baseline_name, is_per_answer(experiment))
}

fn sentence(arm: &Arm<'_>, all: &[Arm<'_>], baseline_name: &str, per_answer: bool) -> String {
    let chosen = visible(arm.name()).into_owned();
    let base = all.iter().find(|arm| arm.standing == Standing::Baseline);
    let with_values = |measure: Measure, compared: &Compared, text: String| {
        let own = amount(measure, compared.median);
        match base.and_then(|base| base.measure(measure)) {
            Some(base) => format!("{text}: {own} instead of {}", amount(measure, base.median)),
            None => format!("{text}: {own}"),
        }
    };
    let of = |verdict: Verdict, measures: &[Measure]| -> Vec<(Measure, Compared)> {
        let found = measures.iter().filter_map(|&measure| Some((measure, *arm.measure(measure)?)));
        found.filter(|(_, compared)| compared.verdict == verdict).collect()
    };
    let memory = [Measure::IdleRss, Measure::PeakRss];
    let costs = [Measure::Cpu, Measure::P99, Measure::Throughput];
    let told = |(measure, compared): &(Measure, Compared)| {
        let (less, more) = match measure {
            Measure::P99 => ("lower", "higher"),
            _ => ("less", "more"),
        };
        let text = format!("{} {}", name(*measure, per_answer), difference(compared, less, more));
        with_values(*measure, compared, text)
    };
    let mut sentences = Vec::new();
    let mut better: Vec<String> = of(Verdict::Better, &memory).iter().map(told).collect();
    better.extend(of(Verdict::Better, &costs).iter().map(told));
    let mut worse: Vec<String> = of(Verdict::Worse, &memory).iter().map(told).collect();
    worse.extend(of(Verdict::Worse, &costs).iter().map(told));
    if better.is_empty() {
        sentences.push(format!("{chosen} is recommended over {baseline_name}."));
    } else {
        sentences.push(format!("{chosen} is better than {baseline_name} in {}.", better.join("; ")));
    }
    if !worse.is_empty() {
        sentences.push(format!("It costs: {}.", worse.join("; ")));
    }
    let all_measures: Vec<Measure> = memory.into_iter().chain(costs).collect();
    let unseen: Vec<String> = of(Verdict::NoDifferenceSeen, &all_measures)
        .iter()
        .map(|(measure, compared)| {
            format!("{} ({})", name(*measure, per_answer), difference(compared, "less", "more"))
        })
        .collect();
    if !unseen.is_empty() {
        sentences.push(format!("No difference was seen in {}.", list(&unseen)));
    }
    if all_measures.iter().any(|&measure| arm.verdict(measure) == Some(Verdict::TooFew)) {
        sentences.push("There were too few trials to be certain of anything.".to_owned());
    }
    sentences.join(" ")
}
