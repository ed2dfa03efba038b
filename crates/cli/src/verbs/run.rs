//! `slackwater run`.

pub(super) mod command;
mod handover;
pub(super) mod library;
mod recording;

use std::collections::BTreeMap;
use std::env::var_os;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;
use slackwater_report as report;
use slackwater_tune::environment::{self, Changes, Plan, Presets, Replace};
use slackwater_tune::hazards::{self, Hazard};
use slackwater_tune::settings::{self, Assignment, Setting};
use slackwater_tune::{Allocator, Choice, Interpreter};

use self::command::Command;
use self::recording::Recording;
use super::surroundings;
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Starts a service on an allocator that gives memory back: by default Slackwater's own, a jemalloc that is \
tuned for Python services, purges in forked workers too, and gives back when the service goes idle, when \
too much lies unused, and when its memory limit comes near. No line of the service changes.\n\n\
slackwater becomes the command (execve): pid, standard streams and signals are the command's own, and so \
is the exit code. Nothing stays in between, so it works as the first process of a container, under systemd \
and under supervisors. Everything is checked before: the library, the program that will run in the end, \
and every setting.\n\n\
LD_PRELOAD, MALLOC_CONF, GLIBC_TUNABLES and PYTHONMALLOC are composed with what the environment already \
has: other libraries stay in place, your own options stay, and --set goes before them. Children that run \
Python start under Slackwater's library too; other children get the environment that you gave. With other \
allocators every child inherits LD_PRELOAD.\n\n\
`--allocator` takes slackwater, jemalloc, mimalloc, tcmalloc, glibc (nothing is preloaded, only its \
tunables are set) or the path of a library. Other allocators than ours get the settings that suit a \
service best, unless --bare is given; `--set help` lists the settings of the allocator.\n\n\
Small objects of Python (up to 512 bytes) have an allocator of their own, pymalloc, which gives back only \
whole arenas. Slackwater's library puts pools of its own in its place, as fast, and gives back each that is \
empty. `--pymalloc keep` leaves pymalloc; `--pymalloc off` (PYTHONMALLOC=malloc) sends small objects to the \
allocator like all others, as jemalloc gets it by default.\n\n\
`--record` also records who allocates, as `slackwater record` does: samples, one every 512 KiB on average, \
into COMMAND.slackwater, or with a number where that is there already. The recorder is a process of its own \
beside the service; it ends with it, and when it is killed the service goes on. `--rotate`, `--keep` and \
`--max-size` bound what it writes, as with `record`. Python's small objects are \
seen one by one where Slackwater's pools hold them; where pymalloc does (`--pymalloc keep`, other allocators), \
with --python-allocators only.\n\n\
Exit codes before the command has started: 2 for a bad option, setting or library, or no such command; 3 \
when a file may not be read or executed; 4 when nothing can be preloaded into the command (musl, static, \
another architecture, raised rights). After that, those of the command.\n\n\
Examples:\n  \
  slackwater run -- gunicorn app:app --workers 4\n  \
  slackwater run --set dirty_decay_ms=5000 --pymalloc keep -- uvicorn app:app\n  \
  slackwater run --allocator jemalloc -- celery --app tasks worker\n  \
  slackwater run --record -- gunicorn app:app\n  \
  slackwater run --print-env -- gunicorn app:app\n  \
  eval \"$(slackwater run --print-env)\"";

/// Becomes the command, on the chosen allocator.
///
/// # Errors
/// Whatever keeps the command, or the allocator in it, from starting; nothing has been started then.
pub(crate) fn run(args: &RunArgs, printer: &Printer) -> Result<Exit, Failure> {
    let allocator = args.allocator.allocator();
    if args.set.iter().any(|one| one == "help") {
        printer.data(&list(allocator.unwrap_or(Allocator::Slackwater)))?;
        return Ok(Exit::Done);
    }
    if args.record.is_none() && !args.files.words().is_empty() {
        return Err(Failure::new(Exit::Usage, "--rotate, --keep and --max-size are about a recording")
            .hint("add --record"));
    }
    let assignments = assignments(args, allocator)?;
    let command = match args.command.first() {
        Some(name) => Some(Command::find(name, var_os("PATH").as_deref())?),
        None if args.print_env => None,
        None => {
            return Err(Failure::new(Exit::Usage, "no command is named")
                .hint("put it behind two dashes: slackwater run -- gunicorn app:app"));
        }
    };
    let loader = command.as_ref().and_then(|command| command.loader.as_deref());
    let library = library::find(&args.allocator, loader)?;
    let plan = Plan {
        library,
        allocator,
        assignments,
        presets: if args.bare { Presets::LeftOut } else { Presets::Applied },
        pymalloc: args.pymalloc,
        interpreter: interpreter(args, command.as_ref()),
        replace: if args.replace { Replace::Yes } else { Replace::No },
    };
    let present = |name: &str| var_os(name);
    let mut changes = environment::compose(&present, &plan)
        .map_err(|error| Failure::of(Exit::Usage, &error, Some(error.hint())))?;
    let hazards = match allocator {
        Some(allocator) => {
            hazards::hazards(allocator, &plan.assignments, &args.command, &present, &surroundings::read())
        }
        None => Vec::new(),
    };
    match &command {
        Some(command) if !args.print_env => {
            if let Some(file) = &args.record {
                let recording = Recording::begin(args, file.as_deref(), command, printer)?;
                recording.join(&mut changes.variables);
            }
            say(&plan, &changes, &hazards, printer);
            Err(handover::become_command(command, &args.command, &changes.variables))
        }
        _ if args.json => printer.data(&document(args, &plan, command.as_ref(), &changes, &hazards)),
        _ => {
            warn(&changes, &hazards, printer);
            printer.data(&exports(&changes.variables))
        }
    }
    .map(|()| Exit::Done)
}

fn interpreter(args: &RunArgs, command: Option<&Command>) -> Interpreter {
    let Some(command) = command else { return Interpreter::Ordinary };
    // A virtual environment's python is a link to the one that it was made with.
    let program = command.program.canonicalize().unwrap_or_else(|_| command.program.clone());
    Interpreter::of(&program, &args.command, var_os("PYTHONDEVMODE").as_deref())
}

fn assignments(args: &RunArgs, allocator: Option<Allocator>) -> Result<Vec<Assignment>, Failure> {
    let governor = args.governor.map(|governor| format!("governor={}", governor.key()));
    let texts = args.set.iter().cloned().chain(governor);
    let Some(allocator) = allocator else {
        return match texts.into_iter().next() {
            None => Ok(Vec::new()),
            Some(_) => Err(Failure::new(Exit::Usage, "the settings of this library are not known")
                .hint("set its environment variables yourself")),
        };
    };
    texts
        .map(|text| {
            settings::parse(allocator, &text)
                .map_err(|error| Failure::new(Exit::Usage, &error).hint(error.hint()))
        })
        .collect()
}

/// One line about what is in force, then what the user should know.
fn say(plan: &Plan, changes: &Changes, hazards: &[Hazard], printer: &Printer) {
    let words: Vec<String> = changes
        .variables
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={}", value.display()),
            None => format!("without {name}"),
        })
        .collect();
    let on = match (plan.allocator, &plan.library) {
        (Some(allocator), _) => allocator.key().to_owned(),
        (None, Some(library)) => library.display().to_string(),
        (None, None) => String::new(),
    };
    let words = if words.is_empty() { "as the environment already says".to_owned() } else { words.join(" ") };
    printer.note(&format!("slackwater: running on {on}: {}", report::visible(&words)));
    warn(changes, hazards, printer);
}

fn warn(changes: &Changes, hazards: &[Hazard], printer: &Printer) {
    for note in &changes.notes {
        printer.note(&format!("slackwater: {}", report::visible(&note.to_string())));
    }
    for hazard in hazards {
        printer.warn(&format!("{hazard}; {}", hazard.hint()));
    }
}

/// Lines for a shell.
fn exports(variables: &BTreeMap<String, Option<OsString>>) -> String {
    let line = |(name, value): (&String, &Option<OsString>)| match value {
        Some(value) => format!("export {name}={}\n", quoted(value)),
        None => format!("unset {name}\n"),
    };
    variables.iter().map(line).collect()
}

/// As one word of a shell.
fn quoted(value: &OsString) -> String {
    let text = value.to_string_lossy();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:,=+".contains(byte);
    if !text.is_empty() && value.as_bytes().iter().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn document(
    args: &RunArgs,
    plan: &Plan,
    command: Option<&Command>,
    changes: &Changes,
    hazards: &[Hazard],
) -> String {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let set: BTreeMap<&String, String> = changes
        .variables
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?.to_string_lossy().into_owned())))
        .collect();
    let unset: Vec<&String> =
        changes.variables.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    let notes: Vec<String> = changes.notes.iter().map(ToString::to_string).collect();
    let warnings: Vec<_> = hazards
        .iter()
        .map(|hazard| json!({ "warning": hazard.to_string(), "hint": hazard.hint() }))
        .collect();
    report::json::line(&json!({
        "schema": 1,
        "allocator": match &args.allocator {
            Choice::Known(allocator) => allocator.key().to_owned(),
            Choice::Library(path) => text(path),
        },
        "library": plan.library.as_deref().map(text),
        "command": words,
        "file": command.map(|command| text(&command.file)),
        "set": set,
        "unset": unset,
        "notes": notes,
        "warnings": warnings,
    }))
}

/// The settings of an allocator, for people.
fn list(allocator: Allocator) -> String {
    let mut out = format!("settings of {allocator}, for --set KEY=VALUE\n");
    let (everyday, others): (Vec<&Setting>, Vec<&Setting>) =
        settings::settings(allocator).partition(|setting| setting.everyday);
    for (title, group) in [("", everyday), ("\nfor experts\n", others)] {
        if !group.is_empty() {
            out.push_str(title);
        }
        for setting in group {
            let since = setting.since.map(|since| format!("; from {since} on")).unwrap_or_default();
            out.push_str(&format!(
                "  {:<32} {} ({}){since}\n",
                setting.key,
                setting.about,
                setting.kind.allowed()
            ));
        }
    }
    out
}
