//! `slackwater lab tune`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use slackwater_lab::compare::Objective;
use slackwater_lab::plan::{self, Plan};
use slackwater_lab::result::{Experiment, Trial};
use slackwater_lab::run::{Resume, Setup};
use slackwater_lab::tune::{self, Runner, TuneError};
use slackwater_report::visible;

use super::init::allocators;
use super::observe::Eyes;
use super::progress::{Display, span};
use super::report;
use super::run::{Own, name_leftovers, read};
use crate::args::LabTuneArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::interruptible;

pub(crate) const MANUAL: &str = "\
Searches the settings of all allocators that are installed here for those that suit this service and this \
load best, within a budget of time: many candidates with a short load, the best of them with a longer one, \
and so on. The one that is left then meets the first arm of the plan, and that arm again, at the plan's full \
length: only what holds there is recommended.\n\n\
Prints what every stage showed, the front, what the confirmation came to, and the choice with the lines to \
type. The results of the stages are kept in a folder beside the plan: slackwater lab report lab.tune/rung-1.\n\n\
Examples:\n  \
  slackwater lab tune lab.toml --budget 30m\n  \
  slackwater lab tune lab.toml --budget 2h --objective 'least memory within 5 % CPU'";

/// Searches.
///
/// # Errors
/// When the plan does not hold, the budget is too short, or a stage cannot be run.
pub(super) fn run(args: &LabTuneArgs, printer: &Printer) -> Result<Exit, Failure> {
    let (plan, _) = read(&args.plan)?;
    let objective = match &args.objective {
        Some(words) => Objective::parse(words).map_err(|error| Failure::new(Exit::Usage, error))?,
        None => Objective::default(),
    };
    let folder = args.output.clone().unwrap_or_else(|| args.plan.with_extension("tune"));
    let own = Own::new()?;
    name_leftovers(printer);
    let cancel = interruptible()?;
    let space = tune::space(&allocators());
    let mut stages = Stages {
        folder: &folder,
        own: &own,
        eyes: Eyes::new(),
        cancel: &cancel,
        printer,
        begun: Instant::now(),
        last: None,
        n_candidates: space.len(),
    };
    printer.note(&format!(
        "{} candidates, {}, within {}",
        space.len(),
        objective.in_words(),
        span(args.budget)
    ));
    let tuned = match tune::search(&plan, space, args.budget, &objective, &mut stages) {
        Ok(tuned) => tuned,
        Err(TuneError::Run { source, .. }) if source.is::<Stopped>() => {
            printer.note(&format!("stopped; what was measured is in {}", folder.display()));
            return Ok(Exit::Interrupted);
        }
        Err(error) => {
            let exit = if matches!(error, TuneError::Run { .. }) { Exit::Target } else { Exit::Usage };
            return Err(Failure::of(exit, &error, None).hint(error.hint()));
        }
    };
    for line in tuned.lines() {
        printer.data(&format!("{}\n", visible(&line)))?;
    }
    if let (Some((folder, mut experiment)), Some(confirmed)) = (stages.last, tuned.confirmed) {
        // By the objective of this search.
        experiment.comparison = Some(confirmed);
        printer.data(&format!("\n{}", slackwater_report::lab::table(&experiment, printer.style())))?;
        let page = report::page_beside(&folder);
        report::draw(&experiment, &page)?;
        printer.note(&format!("page: {}", page.display()));
    }
    Ok(Exit::Done)
}

/// The user wants to stop.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl Error for Stopped {}

/// Runs the stages of a search as experiments, each in a folder of its own.
struct Stages<'a> {
    folder: &'a Path,
    own: &'a Own,
    eyes: Eyes,
    cancel: &'a AtomicBool,
    printer: &'a Printer,
    begun: Instant,
    /// The stage that was run last, and where it is.
    last: Option<(PathBuf, Experiment)>,
    /// All candidates.
    n_candidates: usize,
}

impl Runner for Stages<'_> {
    fn run(&mut self, stage: &str, plan: &Plan) -> Result<Vec<Trial>, Box<dyn Error + Send + Sync>> {
        let (n_arms, n_repetitions) = (plan.arms.len(), plan.schedule.repetitions);
        self.printer.note(&format!(
            "{stage}: {n_arms} {} x {n_repetitions} {}",
            if n_arms == 1 { "arm" } else { "arms" },
            if n_repetitions == 1 { "repetition" } else { "repetitions" }
        ));
        // The first arm is beside the candidates.
        let n_tried = n_arms.saturating_sub(1);
        if stage == "rung-1" && n_tried < self.n_candidates {
            self.printer.note(&format!(
                "there is time for {n_tried} of {} candidates, the likeliest; a longer --budget tries more",
                self.n_candidates
            ));
        }
        let folder: PathBuf = self.folder.join(stage);
        let text = plan::write(plan);
        // The time that was spent decides what a stage is: one that was broken off is none to go on with.
        let setup = Setup { resume: Resume::No, ..self.own.setup(plan, &text, folder.clone()) };
        let display = Display::new(self.printer);
        let ran =
            slackwater_lab::run::run(&setup, &self.eyes, self.cancel, &mut |progress| display.show(progress));
        display.finish();
        let ran = ran?;
        if ran.cancelled {
            return Err(Stopped.into());
        }
        let trials = ran.experiment.trials.clone();
        self.last = Some((folder, ran.experiment));
        Ok(trials)
    }

    fn spent(&self) -> Duration {
        self.begun.elapsed()
    }
}
