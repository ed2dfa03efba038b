//! The arm to take, for a stated objective.

use crate::plan::Plan;
use crate::result::{ArmCompared, Compared, Comparison, Measure, Recommendation, Trial, Verdict};

/// What is wanted: the least memory, while nothing gets dearer than this.
#[derive(Clone, PartialEq, Debug)]
pub struct Objective {
    /// The measures of memory that are to be least, by the geometric mean of their ratios.
    pub memory: Vec<Measure>,
    /// The highest ratio of each other measure that is allowed.
    pub within: Vec<(Measure, f64)>,
}

impl Default for Objective {
    fn default() -> Self {
        Self { memory: vec![Measure::IdleRss, Measure::PeakRss], within: vec![(Measure::Cpu, 1.03)] }
    }
}

impl Objective {
    /// What a text such as `least idle memory within 3 % CPU` or `within 5 % p99` says.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "'{text}' is no objective; write it like \"least memory within 3 % CPU\", with idle, peak or \
                 no word before memory, and cpu, p50 or p99 at the end"
            )
        };
        let lower = text.to_lowercase().replace('%', " % ");
        let mut words = lower.split_whitespace().peekable();
        let mut objective = Self { within: Vec::new(), ..Self::default() };
        words.next_if_eq(&"least");
        match words.next() {
            Some("memory") => {}
            Some("idle") if words.next() == Some("memory") => objective.memory = vec![Measure::IdleRss],
            Some("peak") if words.next() == Some("memory") => objective.memory = vec![Measure::PeakRss],
            _ => return Err(refuse()),
        }
        while let Some(word) = words.next() {
            if word != "within" && word != "and" {
                return Err(refuse());
            }
            let percent: f64 = words.next().and_then(|number| number.parse().ok()).ok_or_else(refuse)?;
            words.next_if_eq(&"%");
            let measure = match words.next() {
                Some("cpu") => Measure::Cpu,
                Some("p50") => Measure::P50,
                Some("p99") => Measure::P99,
                _ => return Err(refuse()),
            };
            if !(0.0..=1000.0).contains(&percent) {
                return Err(refuse());
            }
            objective.within.push((measure, 1.0 + percent / 100.0));
        }
        Ok(objective)
    }

    /// In words.
    pub fn in_words(&self) -> String {
        let memory = match self.memory.as_slice() {
            [Measure::IdleRss] => "least idle memory",
            [Measure::PeakRss] => "least peak memory",
            _ => "least memory, idle and peak alike",
        };
        let bound = |&(measure, most): &(Measure, f64)| {
            format!(", {} at most {:.0} % above the first arm's", name(measure), (most - 1.0) * 100.0)
        };
        let bounds: String = self.within.iter().map(bound).collect();
        format!("{memory}{bounds}")
    }

    /// The arm's memory to the baseline's, if all of it was measured that the baseline has.
    pub(crate) fn memory_ratio(&self, arm: &ArmCompared) -> Option<f64> {
        let logs: Vec<f64> =
            self.memory.iter().filter_map(|measure| Some(arm.measures.get(measure)?.ratio.ln())).collect();
        crate::stats::mean(&logs).map(f64::exp)
    }
}

/// What tables call a measure.
pub(crate) fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::PeakRss => "peak RSS",
        Measure::IdleRss => "idle RSS",
        Measure::IdlePss => "idle PSS",
        Measure::Cpu => "CPU",
        Measure::P50 => "p50",
        Measure::P99 => "p99",
        Measure::Throughput => "throughput",
        Measure::MinorFaults => "minor faults",
    }
}

/// The arm that `objective` chooses; `None` while nothing can be said.
pub(super) fn recommend(
    plan: &Plan,
    comparison: &Comparison,
    trials: &[Trial],
    objective: &Objective,
) -> Option<Recommendation> {
    let arms: Vec<&ArmCompared> = comparison
        .arms
        .iter()
        .filter(|arm| plan.arms.iter().any(|other| other.name == arm.arm && other.is_null_of.is_none()))
        .collect();
    let (baseline, rivals) = arms.split_first()?;
    let can_say = |arm: &&ArmCompared| {
        objective.memory.iter().any(|measure| {
            arm.measures.get(measure).is_some_and(|compared| compared.verdict != Verdict::TooFew)
        })
    };
    if !rivals.iter().any(can_say) {
        return None;
    }
    let fit: Vec<(&ArmCompared, f64)> = rivals
        .iter()
        .filter(|arm| can_say(arm) && answers_right(trials, &arm.arm) && is_within(objective, arm))
        .filter(|arm| is_better(objective, arm))
        .filter_map(|arm| Some((*arm, objective.memory_ratio(arm)?)))
        .collect();
    let best = fit.iter().min_by(|left, right| left.1.total_cmp(&right.1));
    let objective_words = objective.in_words();
    Some(match best {
        Some((arm, _)) => Recommendation {
            arm: arm.arm.clone(),
            objective: objective_words,
            reasons: reasons(objective, arm),
        },
        None => Recommendation {
            arm: baseline.arm.clone(),
            objective: objective_words,
            reasons: vec![why_not(
                objective,
                rivals.iter().copied().filter(|arm| {
                    can_say(arm) && answers_right(trials, &arm.arm) && is_better(objective, arm)
                }),
            )],
        },
    })
}

/// Why none of those that need less memory is chosen.
fn why_not<'a>(objective: &Objective, smaller: impl Iterator<Item = &'a ArmCompared>) -> String {
    let with_memory = smaller.filter_map(|arm| Some((arm, objective.memory_ratio(arm)?)));
    let Some((arm, _)) = with_memory.min_by(|left, right| left.1.total_cmp(&right.1)) else {
        return "no other arm was seen to need less memory, with right answers".to_owned();
    };
    let beyond = objective.within.iter().find_map(|&(measure, most)| {
        let compared = arm.measures.get(&measure).filter(|compared| compared.ratio > most)?;
        let percent = |ratio: f64| (ratio - 1.0) * 100.0;
        let Compared { ratio, low, high, .. } = *compared;
        Some(format!(
            "its {} is {:+.1} % ({:+.1} to {:+.1}), beyond {:+.0} %",
            name(measure),
            percent(ratio),
            percent(low),
            percent(high),
            percent(most)
        ))
    });
    format!("'{}' needs less memory, but {}", arm.arm, beyond.unwrap_or_default())
}

/// No bounded measure was seen beyond its bound. One that came out there, while no difference from the first
/// arm was seen at all, is noise: it is no reason against, and its reasons say how little is known of it.
fn is_within(objective: &Objective, arm: &ArmCompared) -> bool {
    objective.within.iter().all(|(measure, most)| {
        arm.measures
            .get(measure)
            .is_none_or(|compared| compared.ratio <= *most || compared.verdict == Verdict::NoDifferenceSeen)
    })
}

/// Less memory in one way, and not more in the other.
fn is_better(objective: &Objective, arm: &ArmCompared) -> bool {
    let verdicts: Vec<Verdict> =
        objective.memory.iter().filter_map(|measure| Some(arm.measures.get(measure)?.verdict)).collect();
    verdicts.contains(&Verdict::Better) && !verdicts.contains(&Verdict::Worse)
}

/// An arm with wrong answers is no choice, however small it is.
pub(crate) fn answers_right(trials: &[Trial], arm: &str) -> bool {
    let rounds = trials.iter().filter(|trial| trial.arm == arm).flat_map(|trial| &trial.rounds);
    rounds.filter_map(|round| round.load.as_ref()).all(|answers| answers.n_wrong == 0)
}

fn reasons(objective: &Objective, arm: &ArmCompared) -> Vec<String> {
    let mut reasons = Vec::new();
    for &measure in &objective.memory {
        if let Some(compared) = arm.measures.get(&measure) {
            reasons.push(format!("{} {}", name(measure), in_words(compared)));
        }
    }
    for &(measure, most) in &objective.within {
        if let Some(compared) = arm.measures.get(&measure) {
            let proof = if compared.high <= most {
                String::new()
            } else if compared.ratio <= most {
                format!("; that it stays below {most:.2} is likely, not certain: repeat more often")
            } else {
                format!("; whether it stays below {most:.2}, these trials do not tell: repeat more often")
            };
            reasons.push(format!("{} {}{proof}", name(measure), in_words(compared)));
        }
    }
    reasons
}

fn in_words(compared: &Compared) -> String {
    let Compared { ratio, low, high, verdict, .. } = compared;
    let verdict = match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifferenceSeen => "no difference seen",
        Verdict::TooFew => "too few trials",
        Verdict::Baseline => "the baseline",
    };
    format!("{ratio:.2} of the first arm's ({low:.2} to {high:.2}): {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_and_said_in_words() {
        let check = |text: &str, words: &str| {
            assert_eq!(Objective::parse(text).map(|one| one.in_words()).as_deref(), Ok(words), "{text}");
        };
        let default = "least memory, idle and peak alike, CPU at most 3 % above the first arm's";
        check("least memory within 3 % CPU", default);
        check("least memory within 3% cpu", default);
        assert_eq!(Objective::default().in_words(), default);
        check("least idle memory", "least idle memory");
        check(
            "least peak memory within 0 % CPU and 10 % p99",
            "least peak memory, CPU at most 0 % above the first arm's, p99 at most 10 % above the first arm's",
        );
        for wrong in
            ["", "most memory", "least memory within CPU", "least memory within -1 % CPU", "least idle"]
        {
            assert!(Objective::parse(wrong).is_err_and(|error| error.contains("like")), "{wrong}");
        }
    }
}
