//! `slackwater lab init`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use slackwater_base::Pid;
use slackwater_diagnose::{ProcessTable, Selector, select};
use slackwater_lab::{init, plan};
use slackwater_procfs::{Process, Root};
use slackwater_tune::{Allocator, Choice};

use crate::args::LabInitArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::look;
use crate::verbs::run::library;

pub(crate) const MANUAL: &str = "\
Writes a plan with comments, to be edited: for a command, or for a service that runs, whose command line, \
folder, processors and environment are taken over (variables that look like secrets are left out).\n\n\
What only you know is what it is asked to do: [[load.request]].\n\n\
Examples:\n  \
  slackwater lab init -- gunicorn --workers 2 app:app\n  \
  slackwater lab init --name gunicorn         the service of this name\n  \
  slackwater lab init --pid 4711 -o api.toml";

/// Writes a plan.
///
/// # Errors
/// When nothing can be told of the service, or the file is there already.
pub(super) fn run(args: &LabInitArgs, printer: &Printer) -> Result<Exit, Failure> {
    let facts = match running(args)? {
        Some(process) => facts_of(&process)?,
        None => init::Facts {
            command: args.command.iter().map(text_of).collect::<Result<_, _>>()?,
            directory: None,
            environment: BTreeMap::new(),
            cpus: cpus(None),
            allocators: allocators(),
        },
    };
    let text = init::text(&facts);
    write(&args.output, &text, args.force)?;
    let name = args.output.display();
    // What was guessed may not hold; the file is there to be edited.
    match plan::read(&text, Path::new(".")) {
        Ok(plan) => printer.note(&format!(
            "wrote {name}: {} arms; edit [[load.request]], then: slackwater lab run {name}",
            plan.arms.len()
        )),
        Err(error) => printer.note(&format!("wrote {name}, which needs your hand first: {error}")),
    }
    Ok(Exit::Done)
}

/// The process that a running service began with, if one is named.
fn running(args: &LabInitArgs) -> Result<Option<Process>, Failure> {
    let selector = match (args.pid, &args.name) {
        (Some(pid), _) => Selector::Pids(vec![pid]),
        (None, Some(name)) => Selector::Name(name.clone()),
        (None, None) => return Ok(None),
    };
    let root = Root::host();
    let table = ProcessTable::read(&root).map_err(|error| look::refused(&error))?;
    let services = select(&table, &selector).map_err(|error| look::missing(&root, &error))?;
    let pid = services.first().map_or(Pid(0), |service| service.root().pid);
    root.process(pid).map(Some).map_err(|error| look::refused(&error))
}

fn facts_of(process: &Process) -> Result<init::Facts, Failure> {
    let words = process.command_line().map_err(|error| look::refused(&error))?;
    let variables = process.environment_like(&[""]).map_err(|error| look::refused(&error))?;
    // A title is one text with blanks in it, written over arguments and often over the environment.
    let is_title = matches!(&words[..], [only] if only.to_string_lossy().contains(' '));
    let (Some(variables), false) = (variables, is_title || words.is_empty()) else {
        let error = format!("process {} has written a title over its command line", process.pid());
        return Err(Failure::new(Exit::Target, error)
            .hint("name the command that starts it: slackwater lab init -- COMMAND"));
    };
    let pair =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    Ok(init::Facts {
        command: words.iter().map(text_of).collect::<Result<_, _>>()?,
        directory: fs::read_link(process.path().join("cwd")).ok(),
        environment: variables.into_iter().filter_map(pair).collect(),
        cpus: cpus(Some(process.pid())),
        allocators: allocators(),
    })
}

fn text_of(word: &OsString) -> Result<String, Failure> {
    word.clone().into_string().map_err(|word| {
        Failure::new(Exit::Usage, format!("a plan is text, and this is none: {}", word.display()))
    })
}

/// The processors that a process may use, or this one.
fn cpus(pid: Option<Pid>) -> Vec<usize> {
    let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.0));
    let Ok(set) = rustix::thread::sched_getaffinity(pid) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Those that can be preloaded here.
pub(super) fn allocators() -> Vec<Allocator> {
    let is_there = |allocator: &Allocator| library::find(&Choice::Known(*allocator), None).is_ok();
    Allocator::ALL.iter().copied().filter(is_there).collect()
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = File::options();
    options.write(true);
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("cannot write {}", path.display())).caused_by(&error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.hint("replace it with --force, or name another: -o FILE"),
            _ => failure,
        }
    })
}
