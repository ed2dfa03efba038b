//! What an experiment comes down to: one sentence with its numbers, and what else has to be known of it.
//!
//! Invariant: only what the comparison calls better or worse is called so here, and no ratio stands
//! without its interval where there is one.

use slackwater_lab::result::{Compared, Experiment, Measure, Verdict};

use super::arms::{Arm, Standing, arms, baseline, is_per_answer};
use super::words::{amount, difference, list, measures, name, percent_of};
use crate::visible;

/// The sentences.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Headline {
    /// The one that is read.
    pub(super) title: String,
    /// Those that make it true; empty where there is no more to say.
    pub(super) details: String,
}

/// What the experiment comes down to.
pub(super) fn headline(experiment: &Experiment) -> Headline {
    let alone = |title: String| Headline { title, details: String::new() };
    let Some(comparison) = &experiment.comparison else {
        return alone("Nothing can be compared yet: not every arm has had a trial of full value.".to_owned());
    };
    let all = arms(experiment);
    let base_name = visible(baseline(experiment).unwrap_or_default()).into_owned();
    let Some(recommended) = &comparison.recommended else {
        return alone(format!("No arm can be recommended over {base_name}."));
    };
    let chosen = visible(&recommended.arm).into_owned();
    if recommended.arm == comparison.baseline {
        return alone(format!("Stay with {base_name}: by this measurement no other arm is to be preferred."));
    }
    match all.iter().find(|arm| arm.name() == recommended.arm) {
        Some(arm) => {
            let base = all.iter().find(|arm| arm.standing == Standing::Baseline);
            let told = Told { arm, base, base_name, per_answer: is_per_answer(experiment) };
            Headline { title: told.title(&chosen), details: told.details(&measures(experiment)) }
        }
        None => alone(format!("{chosen} is recommended over {base_name}.")),
    }
}

/// One arm against the baseline.
struct Told<'a> {
    arm: &'a Arm<'a>,
    base: Option<&'a Arm<'a>>,
    base_name: String,
    per_answer: bool,
}

impl Told<'_> {
    fn title(&self, chosen: &str) -> String {
        for measure in [Measure::IdleRss, Measure::PeakRss] {
            let Some(compared) = self.arm.measure(measure) else { continue };
            let Some(base) = self.base.and_then(|base| base.measure(measure)) else { continue };
            if compared.verdict == Verdict::Better {
                let (own, other) = (amount(measure, compared.median), amount(measure, base.median));
                let when = if measure == Measure::IdleRss { "after load" } else { "at its peak" };
                let percent = percent_of(compared.ratio);
                let base_name = &self.base_name;
                return format!(
                    "{chosen} holds {percent} % less memory {when} than {base_name}: {own} instead of {other}."
                );
            }
        }
        format!("{chosen} is recommended over {}.", self.base_name)
    }

    fn details(&self, shown: &[Measure]) -> String {
        // Faults and PSS are in the table: nobody chooses by them.
        let is_told = |measure: &Measure| !matches!(measure, Measure::IdlePss | Measure::MinorFaults);
        let measures: Vec<Measure> = shown.iter().copied().filter(is_told).collect();
        let of = |verdict: Verdict| -> Vec<String> {
            let found = measures.iter().filter_map(|&measure| Some((measure, self.arm.measure(measure)?)));
            found
                .filter(|(_, compared)| compared.verdict == verdict)
                .map(|(measure, compared)| self.told(measure, compared))
                .collect()
        };
        let mut sentences = Vec::new();
        for (verdict, words) in [(Verdict::Better, "Better"), (Verdict::Worse, "Worse")] {
            let items = of(verdict);
            if !items.is_empty() {
                sentences.push(format!("{words}: {}.", items.join("; ")));
            }
        }
        let unseen = of(Verdict::NoDifferenceSeen);
        if !unseen.is_empty() {
            sentences.push(format!("No difference was seen in {}.", list(&unseen)));
        }
        if !of(Verdict::TooFew).is_empty() {
            sentences.push("There were too few trials to be certain of anything.".to_owned());
        }
        sentences.join(" ")
    }

    fn told(&self, measure: Measure, compared: &Compared) -> String {
        let (less, more) = match measure {
            Measure::P50 | Measure::P99 => ("lower", "higher"),
            _ => ("less", "more"),
        };
        let text = format!("{} {}", name(measure, self.per_answer), difference(compared, less, more));
        if compared.verdict == Verdict::NoDifferenceSeen {
            // A difference that was not seen has no size, only bounds.
            let side =
                |ratio: f64| format!("{} % {}", percent_of(ratio), if ratio < 1.0 { less } else { more });
            let (low, high) = (side(compared.low), side(compared.high));
            return format!("{} (between {low} and {high})", name(measure, self.per_answer));
        }
        match (compared.verdict, self.base.and_then(|base| base.measure(measure))) {
            (Verdict::Better | Verdict::Worse, Some(base)) => {
                let (own, other) = (amount(measure, compared.median), amount(measure, base.median));
                format!("{text}, {own} instead of {other}")
            }
            _ => text,
        }
    }
}
