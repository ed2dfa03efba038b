//! What a search found.

use std::time::Duration;

use crate::compare::Objective;
use crate::plan::{Arm, Plan};
use crate::result::{Comparison, Recommendation, Warning};

/// Candidates that are named for which there was no time.
const MOST_NAMED: usize = 3;

/// What a search found.
#[derive(Clone, PartialEq, Debug)]
pub struct Tuned {
    /// The arm that all were compared with.
    pub baseline: String,
    /// The objective, in words.
    pub objective: String,
    /// Stage by stage.
    pub stages: Vec<Stage>,
    /// Candidates that there was no time for.
    pub left_out: Vec<String>,
    /// What came out best of the search; `None` when no candidate had a trial.
    pub winner: Option<Arm>,
    /// The first arm, the winner and the first arm again at full length; `None` where there was no time.
    pub confirmed: Option<Comparison>,
    /// What makes the last rung doubtful; of the confirmation, that is in its comparison.
    pub warnings: Vec<Warning>,
}

/// One stage of the search.
#[derive(Clone, PartialEq, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long a round of load was.
    pub load: Duration,
    /// How often each candidate had its turn.
    pub repetitions: usize,
    /// The candidates, the best first.
    pub ranked: Vec<Ranked>,
}

/// One candidate in one stage, to the first arm.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranked {
    /// Its name.
    pub arm: String,
    /// Its memory.
    pub memory: Option<f64>,
    /// Its processor time for each answer.
    pub cpu: Option<f64>,
    /// What it was ranked by; infinite where there is nothing to rank it by.
    pub score: f64,
}

impl Tuned {
    pub(super) fn new(plan: &Plan, objective: &Objective) -> Self {
        Self {
            baseline: plan.arms.first().map_or_else(String::new, |arm| arm.name.clone()),
            objective: objective.in_words(),
            stages: Vec::new(),
            left_out: Vec::new(),
            winner: None,
            confirmed: None,
            warnings: Vec::new(),
        }
    }

    /// What the confirmation recommends: the winner, or the first arm where it did not hold.
    pub fn choice(&self) -> Option<&Recommendation> {
        self.confirmed.as_ref()?.recommended.as_ref()
    }

    /// The candidates of which no other was both smaller and cheaper, each as its last stage saw it; the
    /// smallest first.
    pub fn front(&self) -> Vec<&Ranked> {
        let mut last: Vec<&Ranked> = Vec::new();
        for ranked in self.stages.iter().rev().flat_map(|stage| &stage.ranked) {
            if ranked.score.is_finite() && !last.iter().any(|other| other.arm == ranked.arm) {
                last.push(ranked);
            }
        }
        let point = |one: &Ranked| Some((one.memory?, one.cpu?));
        let is_beaten = |one: &&Ranked| {
            point(one).is_none_or(|(memory, cpu)| {
                last.iter().filter_map(|other| point(other)).any(|(other_memory, other_cpu)| {
                    other_memory <= memory && other_cpu <= cpu && (other_memory < memory || other_cpu < cpu)
                })
            })
        };
        let mut front: Vec<&Ranked> = last.iter().copied().filter(|one| !is_beaten(one)).collect();
        front.sort_by(|left, right| {
            left.memory.unwrap_or(f64::MAX).total_cmp(&right.memory.unwrap_or(f64::MAX))
        });
        front
    }

    /// What the search found, line by line; not what the confirmation says.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("objective: {}", self.objective)];
        let shown = |ratio: Option<f64>| ratio.map_or_else(|| "?".to_owned(), |ratio| format!("{ratio:.2}"));
        let row =
            |one: &Ranked| format!("  memory {}  CPU {}  {}", shown(one.memory), shown(one.cpu), one.arm);
        for stage in &self.stages {
            lines.push(format!(
                "{}: {} candidates, {:.0} s of load, {}; to {}, the best first:",
                stage.name,
                stage.ranked.len(),
                stage.load.as_secs_f64(),
                if stage.repetitions == 1 {
                    "once".to_owned()
                } else {
                    format!("{} times", stage.repetitions)
                },
                self.baseline
            ));
            lines.extend(stage.ranked.iter().map(row));
        }
        let named = self.left_out.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.left_out.len() {
            0 => {}
            n @ 1..=MOST_NAMED => lines.push(format!("no time for {n}: {named}")),
            n => lines.push(format!("no time for {n}, such as {named}")),
        }
        lines.push("the front, by the last stage of each:".to_owned());
        lines.extend(self.front().into_iter().map(row));
        match (&self.winner, &self.confirmed) {
            (Some(winner), Some(_)) => lines.push(format!(
                "'{}' came out best of the search; at full length, against '{}':",
                winner.name, self.baseline
            )),
            (Some(winner), None) => lines.push(format!(
                "'{}' came out best and was not confirmed: the time was over; raise --budget",
                winner.name
            )),
            (None, _) => lines.push("no candidate had a trial that counts".to_owned()),
        }
        if self.confirmed.is_none() {
            let of_arm =
                |warning: &Warning| warning.arm.as_ref().map_or_else(String::new, |arm| format!("{arm}: "));
            lines.extend(self.warnings.iter().map(|one| format!("warning: {}{}", of_arm(one), one.message)));
        }
        lines
    }
}
