//! A whole experiment: every arm has its turn in every repetition, in an order drawn from the seed; what was
//! measured is saved after every trial, and an experiment that was broken off goes on where it was.
//!
//! Invariant: a trial that was saved is never measured again, and never changed.

mod order;
mod save;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use self::order::{Turn, turns};
use self::save::Folder;
use crate::compare;
use crate::keeper::Starter;
use crate::observe::Observer;
use crate::plan::{self, Load, Plan, PlanError};
use crate::result::{ArmAsRun, Experiment, LoadModel, SCHEMA, Surroundings, Trial, Void};
use crate::service;
use crate::trial::{Bench, Outcome};

pub use crate::trial::Phase;
pub use save::{FILE, read};

/// What to run, and how this program starts itself.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// The plan as it was written.
    pub text: &'a str,
    /// Where the result goes.
    pub folder: PathBuf,
    /// Whether a result that is there is gone on with.
    pub resume: Resume,
    /// The command line that leads to [`crate::keeper::serve()`].
    pub keeper: Vec<OsString>,
    /// The words that start a command on an allocator, up to its options.
    pub run: Vec<String>,
    /// The version of this program.
    pub version: &'a str,
    /// The machine.
    pub surroundings: Surroundings,
}

/// Whether a result that is there is gone on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// Where it was broken off, if it is of the same plan.
    Yes,
    /// It is replaced.
    No,
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// What is happening; told some times a second.
    Doing {
        /// The trial under way, from 1.
        number: usize,
        /// All trials.
        n_trials: usize,
        /// Its arm.
        arm: &'a str,
        /// What is happening in it.
        phase: Phase,
        /// How long it has run.
        elapsed: Duration,
        /// About how long everything still takes; `None` while that cannot be told.
        left: Option<Duration>,
    },
    /// A trial was measured and saved.
    Done {
        /// Its number, from 1.
        number: usize,
        /// All trials.
        n_trials: usize,
        /// What was measured.
        trial: &'a Trial,
    },
    /// A trial says nothing.
    Void {
        /// Its number, from 1.
        number: usize,
        /// All trials.
        n_trials: usize,
        /// Why.
        void: &'a Void,
        /// Whether it has another try, at the end.
        again: bool,
    },
}

/// What came of an experiment.
#[derive(Clone, PartialEq, Debug)]
pub struct Ran {
    /// Everything that was measured so far.
    pub experiment: Experiment,
    /// Whether it was broken off.
    pub cancelled: bool,
}

/// Why an experiment was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The folder cannot be used.
    #[error("cannot write to {}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody else uses it.
    #[error("another `lab run` is at work in {}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A result cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A result is there that another version of this program measured.
    #[error("{} was measured by slackwater {version}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Which version.
        version: String,
    },
    /// A result is there, of something else.
    #[error("{} is the result of another plan", path.display())]
    OtherPlan {
        /// The file.
        path: PathBuf,
    },
    /// A result is there, of other requests.
    #[error("{body} is not what it was when {} was measured", path.display())]
    OtherBody {
        /// The file.
        path: PathBuf,
        /// The file with the body of a request.
        body: String,
    },
}

impl RunError {
    /// What the user can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Write { .. } | Self::Locked { .. } => Some("name another folder with --output"),
            Self::OtherPlan { .. } | Self::OtherBody { .. } | Self::OtherVersion { .. } => {
                Some("name another folder with --output, or replace it with --force")
            }
            Self::Read { .. } => Some("replace it with --force, or name another folder with --output"),
        }
    }
}

/// The plan that a result was measured by: with the arms that were run, save those that a search left out.
///
/// # Errors
/// When this version does not understand it.
pub fn plan_of(experiment: &Experiment) -> Result<Plan, PlanError> {
    let mut plan = plan::read_saved(&experiment.plan)?;
    // Reading a plan adds the null arm, which the short stages of a search do without.
    plan.arms.retain(|arm| experiment.arms.iter().any(|run| run.name == arm.name));
    Ok(plan)
}

/// Runs what is left of an experiment. A trial that says nothing is tried once more at the end.
///
/// # Errors
/// When the result cannot be saved or gone on with. What goes wrong with a service is in the result.
pub fn run(
    setup: &Setup<'_>,
    observer: &dyn Observer,
    cancel: &AtomicBool,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Ran, RunError> {
    let folder = Folder::open(&setup.folder)?;
    let mut experiment = match setup.resume {
        Resume::Yes => folder.result(setup)?.unwrap_or_else(|| begun(setup)),
        Resume::No => begun(setup),
    };
    let starter = Starter(setup.keeper.clone());
    let bench = Bench { plan: setup.plan, starter: &starter, run: &setup.run, observer, cancel };
    let all = turns(setup.plan);
    let is_done = |turn: &Turn, trials: &[Trial]| {
        let arm = &setup.plan.arms[turn.arm_idx].name;
        trials.iter().any(|trial| trial.arm == *arm && trial.repetition == turn.repetition)
    };
    let n_trials = all.len();
    let mut queue: Vec<(Turn, Attempt)> = all
        .into_iter()
        .filter(|turn| !is_done(turn, &experiment.trials))
        .map(|turn| (turn, Attempt::First))
        .collect();
    let mut pace = Pace::new(setup.plan);
    let mut position = 0;
    folder.save(&experiment)?;
    while let Some(&(turn, attempt)) = queue.get(position) {
        let arm = &setup.plan.arms[turn.arm_idx];
        let number = experiment.trials.len() + 1;
        let n_left = queue.len() - position;
        let begun = Instant::now();
        let outcome = bench.trial(arm, turn.repetition, &mut |phase| {
            let elapsed = begun.elapsed();
            let left = pace.left(n_left, elapsed);
            on_progress(Progress::Doing { number, n_trials, arm: &arm.name, phase, elapsed, left });
        });
        position += 1;
        match outcome {
            Outcome::Cancelled => return Ok(Ran { experiment, cancelled: true }),
            Outcome::Whole(trial) => {
                pace.took(begun.elapsed());
                experiment.trials.push(*trial);
                compared(setup.plan, &mut experiment);
                folder.save(&experiment)?;
                if let Some(trial) = experiment.trials.last() {
                    on_progress(Progress::Done { number, n_trials, trial });
                }
            }
            Outcome::Void(void) => {
                let again = attempt == Attempt::First;
                if again {
                    queue.push((turn, Attempt::Second));
                }
                on_progress(Progress::Void { number, n_trials, void: &void, again });
                experiment.voids.push(void);
                folder.save(&experiment)?;
            }
        }
    }
    Ok(Ran { experiment, cancelled: false })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Attempt {
    First,
    Second,
}

/// What follows from the trials so far, once every arm has one.
fn compared(plan: &Plan, experiment: &mut Experiment) {
    let has_trial = |name: &str| experiment.trials.iter().any(|trial| trial.arm == name);
    if plan.arms.iter().all(|arm| has_trial(&arm.name)) {
        experiment.comparison = Some(compare::of_experiment(plan, experiment));
    }
}

/// An experiment without trials.
fn begun(setup: &Setup<'_>) -> Experiment {
    let plan = setup.plan;
    Experiment {
        schema: SCHEMA,
        slackwater: setup.version.to_owned(),
        name: plan.name.clone(),
        plan: setup.text.to_owned(),
        bodies: plan.bodies(),
        surroundings: setup.surroundings.clone(),
        arms: plan
            .arms
            .iter()
            .map(|arm| ArmAsRun {
                name: arm.name.clone(),
                command: service::command(&plan.service, arm, &setup.run),
                environment: service::environment(&plan.service, arm),
                is_null_of: arm.is_null_of.clone(),
            })
            .collect(),
        model: match plan.load {
            Load::Open { .. } => LoadModel::Open,
            Load::Closed { .. } => LoadModel::Closed,
            Load::External { .. } => LoadModel::External,
            Load::Work => LoadModel::Work,
        },
        trials: Vec::new(),
        voids: Vec::new(),
        comparison: None,
    }
}

/// How long a trial takes.
struct Pace {
    expected: Option<Duration>,
    spent: Duration,
    n_seen: u32,
}

impl Pace {
    fn new(plan: &Plan) -> Self {
        Self { expected: crate::plan::expected_of_trial(plan), spent: Duration::ZERO, n_seen: 0 }
    }

    fn took(&mut self, time: Duration) {
        self.spent += time;
        self.n_seen += 1;
    }

    /// How long this trial, which has run for `elapsed`, and the rest of `n_left` take.
    fn left(&self, n_left: usize, elapsed: Duration) -> Option<Duration> {
        let each = match self.n_seen {
            0 => self.expected?,
            n => self.spent / n,
        };
        let n_after = u32::try_from(n_left.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(each.saturating_sub(elapsed) + each.saturating_mul(n_after))
    }
}
