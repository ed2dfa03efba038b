//! The arms of an experiment with all that was measured of each, side by side.
//!
//! Invariant: every figure is one of the result's own, or a median of some; an arm without trials is
//! there, and has none.

use std::collections::{BTreeMap, BTreeSet};

use slackwater_base::Bytes;
use slackwater_lab::result::{
    ArmAsRun, ArmCompared, Compared, Experiment, InForce, LoadModel, Measure, Surroundings, Trial,
};

use super::words;
use crate::visible;

/// Colours that the page has for arms of no special standing.
const N_COLOURS: usize = 6;

/// One arm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm<'a> {
    /// Its place in the plan.
    pub(super) index: usize,
    /// How it was started.
    pub(super) run: &'a ArmAsRun,
    /// What it came to, where anything can be said.
    pub(super) compared: Option<&'a ArmCompared>,
    /// What it is to the others.
    pub(super) standing: Standing,
    experiment: &'a Experiment,
}

/// What an arm is to the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The others are compared with it, whether it is the one to take or not.
    Baseline,
    /// It is the one to take instead of the baseline.
    Recommended,
    /// It repeats another on purpose.
    Null,
    /// One of the others.
    Other,
}

/// The arms in the order of the plan.
pub(super) fn arms(experiment: &Experiment) -> Vec<Arm<'_>> {
    let comparison = experiment.comparison.as_ref();
    let recommended = comparison.and_then(|comparison| Some(&comparison.recommended.as_ref()?.arm));
    let baseline = baseline(experiment);
    experiment
        .arms
        .iter()
        .enumerate()
        .map(|(index, run)| Arm {
            index,
            run,
            compared: comparison
                .and_then(|comparison| comparison.arms.iter().find(|one| one.arm == run.name)),
            standing: if run.is_null_of.is_some() {
                Standing::Null
            } else if baseline == Some(run.name.as_str()) {
                Standing::Baseline
            } else if recommended == Some(&run.name) {
                Standing::Recommended
            } else {
                Standing::Other
            },
            experiment,
        })
        .collect()
}

/// The name of the arm that the others are compared with.
pub(super) fn baseline(experiment: &Experiment) -> Option<&str> {
    let compared = experiment.comparison.as_ref().map(|comparison| comparison.baseline.as_str());
    compared.or_else(|| experiment.arms.first().map(|arm| arm.name.as_str()))
}

/// Rounds of the longest trial.
pub(super) fn n_rounds(experiment: &Experiment) -> usize {
    experiment.trials.iter().map(|trial| trial.rounds.len()).max().unwrap_or(0)
}

/// What costs are counted by: right answers where there are any.
pub(super) fn is_per_answer(experiment: &Experiment) -> bool {
    matches!(experiment.model, LoadModel::Open | LoadModel::Closed)
}

impl<'a> Arm<'a> {
    /// Its name, as the plan has it.
    pub(super) fn name(&self) -> &'a str {
        &self.run.name
    }

    /// The class that gives it its colour in every picture.
    pub(super) fn class(&self) -> String {
        match self.standing {
            Standing::Baseline => "arm-base".to_owned(),
            Standing::Recommended => "arm-best".to_owned(),
            Standing::Null => "arm-null".to_owned(),
            Standing::Other => format!("arm-{}", self.index % N_COLOURS),
        }
    }

    /// Its trials of full value, in the order in which they ran.
    pub(super) fn trials(&self) -> impl Iterator<Item = &'a Trial> + use<'a> {
        let (trials, name) = (&self.experiment.trials, &self.run.name);
        trials.iter().filter(move |trial| trial.arm == *name)
    }

    /// How many of its trials say nothing.
    pub(super) fn n_voids(&self) -> usize {
        self.experiment.voids.iter().filter(|void| void.arm == self.run.name).count()
    }

    /// One of its measures.
    pub(super) fn measure(&self, measure: Measure) -> Option<&'a Compared> {
        self.compared?.measures.get(&measure)
    }

    /// The median over its trials of RSS after the idle time of one round, in bytes.
    pub(super) fn idle_rss_bytes(&self, round: usize) -> Option<f64> {
        median(self.trials().filter_map(|trial| Some(trial.rounds.get(round)?.idle_rss_bytes as f64)))
    }

    /// The trial that stands for the others in pictures: the one whose peak is the median of theirs.
    pub(super) fn typical_trial(&self) -> Option<&'a Trial> {
        let mut trials: Vec<&Trial> = self.trials().collect();
        trials.sort_by_key(|trial| peak_rss_bytes(trial));
        trials.get(trials.len().checked_sub(1)? / 2).copied()
    }

    /// What served its processes, those alike together; workers before the others.
    pub(super) fn in_force(&self) -> Vec<Alike<'a>> {
        let mut groups: Vec<Alike<'a>> = Vec::new();
        for process in self.trials().flat_map(|trial| &trial.in_force) {
            // Settings differ where an allocator moves them by itself: that makes no other kind of process.
            let rest =
                |one: &'a InForce| (&one.role, &one.python, &one.allocator, &one.objects, &one.purging);
            let known = groups.iter().position(|group| rest(group.process) == rest(process));
            let index = known.unwrap_or_else(|| {
                groups.push(Alike { process, settings: BTreeMap::new(), n_processes: 0 });
                groups.len() - 1
            });
            let group = &mut groups[index];
            group.n_processes += 1;
            for (name, value) in &process.settings {
                group.settings.entry(name).or_default().insert(value);
            }
        }
        groups.sort_by_key(|group| group.process.role != "worker");
        groups
    }
}

/// Processes of one arm that the same serves.
#[derive(Clone, Debug)]
pub(super) struct Alike<'a> {
    /// One of them.
    pub(super) process: &'a InForce,
    /// The settings of all, with every value that was seen.
    pub(super) settings: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// How many they were, over all trials.
    pub(super) n_processes: usize,
}

/// What is known of the machine, an item each.
pub(super) fn surroundings(machine: &Surroundings) -> Vec<String> {
    let shown = |text: &str| visible(text).into_owned();
    let mut items = vec![shown(&machine.kernel)];
    items.extend(machine.glibc.iter().map(|version| format!("glibc {}", shown(version))));
    items.push(words::count(machine.n_cpus, "processor", "processors"));
    items.extend(machine.processor.iter().map(|name| shown(name)));
    if machine.memory_bytes > 0 {
        items.push(format!("{} of memory", Bytes(machine.memory_bytes)));
    }
    items.extend(machine.huge_pages.iter().map(|mode| format!("huge pages {}", shown(mode))));
    items.extend(machine.overcommit.iter().map(|mode| format!("overcommit {}", shown(mode))));
    items
}

/// The highest RSS of a trial's rounds.
pub(super) fn peak_rss_bytes(trial: &Trial) -> u64 {
    trial.rounds.iter().map(|round| round.peak_rss_bytes).max().unwrap_or(0)
}

/// The middle of some numbers.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
