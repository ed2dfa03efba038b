//! `slackwater lab run`.

use std::fs;
use std::path::{Path, PathBuf};

use slackwater_lab::plan::{self, Plan};
use slackwater_lab::run::{self as experiment, FILE, Ran, Resume, RunError, Setup};
use slackwater_lab::{surroundings, warnings};
use slackwater_procfs::Root;

use super::keeper;
use super::observe::Eyes;
use super::progress::{Display, span};
use super::report;
use crate::args::LabRunArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::interruptible;

pub(crate) const MANUAL: &str = "\
Runs the experiment of a plan: every arm has its turn in every repetition, in random order, and the first \
arm has two. In a turn the service is started, loaded in rounds, left alone after each, and stopped.\n\n\
The result is saved after every turn, in a folder beside the plan: result.json. When the folder holds a \
result of the very same plan, that is gone on with; of another plan, nothing is touched without --force.\n\n\
A turn that says nothing is void, with its reason and the last lines that the service wrote: the service \
did not become ready, ended, answered wrongly, or left a port behind; or the load was sent too late. The \
other arms go on, and the turn is tried once more at the end.\n\n\
Exit code 4 when an arm has no turn that counts; 130 after Ctrl-C.\n\n\
Examples:\n  \
  slackwater lab run                          lab.toml of this folder\n  \
  slackwater lab run api.toml -o /tmp/api     the result elsewhere\n  \
  slackwater lab run api.toml --force         from the beginning";

/// Runs an experiment, or what is left of it.
///
/// # Errors
/// When the plan does not hold, or the result cannot be saved.
pub(super) fn run(args: &LabRunArgs, printer: &Printer) -> Result<Exit, Failure> {
    let (plan, text) = read(&args.plan)?;
    let folder = args.output.clone().unwrap_or_else(|| folder_of(&args.plan));
    let own = Own::new()?;
    let resume = if args.force { Resume::No } else { Resume::Yes };
    let setup = Setup { resume, ..own.setup(&plan, &text, folder.clone()) };
    printer.note(&announced(&plan));
    for warning in warnings::of_plan(&plan) {
        printer.warn(&warning.message);
    }
    name_leftovers(printer);
    let cancel = interruptible()?;
    let display = Display::new(printer);
    let ran = experiment::run(&setup, &Eyes::new(), &cancel, &mut |progress| display.show(progress));
    display.finish();
    finished(&ran.map_err(|error| refused(&error))?, &folder, printer)
}

/// Says what an earlier run left behind: it takes processor time and memory from what is measured.
pub(super) fn name_leftovers(printer: &Printer) {
    let left = slackwater_lab::keeper::leftovers(&Root::host());
    if left.is_empty() {
        return;
    }
    let names: Vec<String> = left.iter().map(ToString::to_string).collect();
    let pids: Vec<String> = left.iter().map(|one| one.pid.to_string()).collect();
    printer.warn(&format!(
        "a service of an earlier lab run still runs, whose runner and keeper were killed together: {}; it disturbs \
         what is measured; end it: kill -KILL {}",
        names.join(", "),
        pids.join(" ")
    ));
}

/// How this program starts itself.
pub(super) struct Own(String);

impl Own {
    pub(super) fn new() -> Result<Self, Failure> {
        let path = std::env::current_exe().map_err(|error| {
            Failure::new(Exit::Bug, "cannot tell where slackwater itself is").caused_by(&error)
        })?;
        match path.to_str() {
            Some(path) => Ok(Self(path.to_owned())),
            None => {
                let error = format!("the path of slackwater is no text: {}", path.display());
                Err(Failure::new(Exit::Usage, error).hint("move it to a folder whose name is valid UTF-8"))
            }
        }
    }

    /// An experiment that goes on where it was broken off.
    pub(super) fn setup<'a>(&self, plan: &'a Plan, text: &'a str, folder: PathBuf) -> Setup<'a> {
        Setup {
            plan,
            text,
            folder,
            resume: Resume::Yes,
            // Still this program when its file was replaced meanwhile.
            keeper: vec!["/proc/self/exe".into(), keeper::VERB.into()],
            run: vec![self.0.clone(), "run".to_owned()],
            version: env!("CARGO_PKG_VERSION"),
            surroundings: surroundings::read(),
        }
    }
}

/// Says what came of it.
fn finished(ran: &Ran, folder: &Path, printer: &Printer) -> Result<Exit, Failure> {
    let experiment = &ran.experiment;
    let has_trial = |name: &String| experiment.trials.iter().any(|trial| trial.arm == *name);
    if !experiment.trials.is_empty() {
        printer.data(&slackwater_report::lab::table(experiment, printer.style()))?;
    }
    let page = report::page_beside(folder);
    report::draw(experiment, &page)?;
    printer.note(&format!("saved: {} and {}", folder.join(FILE).display(), page.display()));
    if ran.cancelled {
        printer.note("stopped; the same command goes on from here");
        return Ok(Exit::Interrupted);
    }
    let missing: Vec<&str> = experiment
        .arms
        .iter()
        .map(|arm| &arm.name)
        .filter(|name| !has_trial(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(Exit::Done);
    }
    let mut failure = Failure::new(Exit::Target, format!("nothing was measured of: {}", missing.join(", ")));
    let void = experiment.voids.iter().rev().find(|void| missing.contains(&void.arm.as_str()));
    failure.causes.extend(void.map(|void| format!("{}: {}", void.arm, void.reason)));
    Err(failure.hint("mend it, then the same command runs what is missing"))
}

/// The plan and its text.
pub(super) fn read(path: &Path) -> Result<(Plan, String), Failure> {
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(Exit::Usage, format!("cannot read {}", path.display())).caused_by(error)
    };
    let bytes = fs::read(path).map_err(|error| {
        let failure = unreadable(&error);
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.hint("name a plan, or write one: slackwater lab init"),
            _ => failure,
        }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|error| unreadable(&error))?;
    let plan = plan::read_bytes(&bytes, &folder).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display())).hint(error.hint())
    })?;
    Ok((plan, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Beside the plan, named after it.
pub(super) fn folder_of(plan: &Path) -> PathBuf {
    plan.with_extension("lab")
}

/// What is about to happen, and how long it takes.
fn announced(plan: &Plan) -> String {
    let n_null = plan.arms.iter().filter(|arm| arm.is_null_of.is_some()).count();
    let schedule = &plan.schedule;
    let round = match plan.load.duration() {
        Some(load) => format!(", {} load + {} idle each", span(load), span(schedule.idle)),
        None => String::new(),
    };
    let all = plan::expected(plan).map_or_else(String::new, |all| format!(": about {}", span(all)));
    format!(
        "plan: {} arms ({n_null} null) x {} repetitions of {} rounds{round}{all}",
        plan.arms.len(),
        schedule.repetitions,
        schedule.rounds,
    )
}

/// A result that cannot be saved or gone on with.
pub(super) fn refused(error: &RunError) -> Failure {
    Failure::of(Exit::Usage, error, error.hint())
}
