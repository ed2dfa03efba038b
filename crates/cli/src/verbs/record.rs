//! `slackwater record`.

mod arrivals;
mod attach;
mod background;
mod capped;
mod files;
mod follower;
mod leaving;
mod numbered;
mod opening;
mod rotation;
mod supervise;
mod view;
mod young;

pub(crate) use self::capped::parse as max_size;
pub(super) use self::files::Files;
pub(super) use self::numbered::{free, numbered};
pub(crate) use self::rotation::Full;
pub(super) use self::supervise::Pace;

use std::env::var_os;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command as Child;

use slackwater_base::Bytes;
use slackwater_capture::transport::{Mode, PythonAllocators};
use slackwater_collect::{CollectError, Collector, Options, Stacks, Summary};
use slackwater_report::visible;
use slackwater_tune::environment::LD_PRELOAD;

use self::follower::Follower;
use self::view::View;
use super::output;
use super::run::command::Command;
use crate::args::RecordArgs;
use crate::env;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Records who allocates, with Python stacks, in every process of a service at once: of one that runs \
(--pid, --name), or of a command that it starts. Forked workers, and programs that the command starts, are \
in the same capture. `slackwater table` and `slackwater stats` read it.\n\n\
By default allocations are sampled, one every 512 KiB on average and without favouring any size, so it may \
run in production; the reports say how far each number may be off. `--exact` records every allocation and \
every free. When events come faster than they can be written, exact recording waits briefly, then goes on \
with samples and says so.\n\n\
An agent stands in front of malloc and mmap and reads the interpreter's own frames: CPython 3.8 to 3.15, with the global lock. For other programs and releases, bytes are recorded \
without stacks. `--native` records the calls of native code as well, where they were made between Python's: the tables \
by which native stacks are read are made by slackwater, outside, from the files' own frame information, and \
functions are named while recording. A stack whose native part cannot be told says so.\n\n\
Objects of up to 512 bytes live in Python's own allocator, and malloc hears only of its arenas, each of 1 MiB \
(256 KiB before 3.10). Which line needed the next one says nothing about who fills them, so they are one row: \
(arenas of Python's own allocator). `--python-allocators` stands in front of Python's allocators \
(its domains raw, mem and object) as well, so that each block is seen, with its size and its line, and no \
arena. Use it when the memory is in many small objects: `diagnose` says python-growth, or live_python is the \
largest class. It costs some nanoseconds for each object when sampled; with --exact each object is an event. \
Objects that Python keeps for reuse without its allocators (free lists) are not seen again. CPython 3.8 to \
3.15 with the global lock; debug builds are left alone, and so is Python while another profiler stands in \
front of its allocators (tracemalloc may). On Slackwater's own allocator objects are always seen, because \
malloc would not even hear of arenas.\n\n\
A command is started with the agent preloaded (LD_PRELOAD). A service that runs is entered as by `trim`: in \
each process one thread in a safe place loads the agent, out of memory, so nothing is installed and \
containers and read-only file systems are no obstacle. The calls of every loaded library are then \
redirected by changing their tables, and those of libraries that are loaded later; no code is changed. \
Ctrl-C, SIGTERM or the end of --duration give everything back: the agent stays loaded and does nothing, \
and the service can be recorded again. When slackwater is killed, the agent falls silent within ten seconds. \
What was allocated before has no stacks: `stats` says how much it was, and it is not taken for anything \
when it is freed; calls inside \
a library that was linked not to be interposed are not seen.\n\n\
Children that a recorded process forks are recorded with it. Another program that it starts or becomes is, \
where the process was started by record: it inherits the agent, unless it gets an environment of its own, \
is static or built for musl, or raises its rights (setuid). In a service that was attached to it is not. With \
`--follow-exec` such programs are attached to like a service that runs, in either case: what they do in \
their first half second is not seen, and one that cannot be entered is named with the reason. A program that \
is no child of the service any more (a daemon) is not found.\n\n\
The command keeps its standard streams, and slackwater ends with its exit code (128+n for a signal). When \
slackwater is killed, or the disk is full, the command goes on undisturbed, and what was written before \
can be read. Contents of memory, arguments and environment are never recorded; names of functions, files \
and threads are. The capture is readable for its owner only.\n\n\
`--live` shows meanwhile what `slackwater live` does: the lines of code that hold most. q closes the view and \
Ctrl-C ends the recording; what a command that is started would write on the terminal goes to a file beside \
the capture, with the ending .log.\n\n\
`--rotate` goes on in another file when one has its size or age (it.slackwater, it.2.slackwater, ...); each can be read alone, \
and `--keep 10` deletes all but the newest ten, so that a recording may run for weeks. A block that is \
given back later than in the file where it was allocated counts as live in that one. `--max-size` keeps \
one file instead, for as long as you like: when it has half of the size, it is written anew with sums in \
place of its older records. Totals by line and stack, leaks and the high-water mark stay what they were; \
which part came when is known of the later records only, and processes that ended long ago are one for \
each program. Meanwhile there are two files for a moment; a recorder that is killed leaves one.\n\n\
Examples:\n  \
  slackwater record --name gunicorn --duration 60s\n  \
  slackwater record -- gunicorn app:app --workers 4\n  \
  slackwater record --rotate 1h --keep 24 -- gunicorn app:app\n  \
  slackwater record --max-size 64M --name gunicorn\n  \
  slackwater record --exact -o run.slackwater -- python job.py\n  \
  slackwater record --live --name gunicorn\n  \
  slackwater mark 'deployed 1.4'                    while it records\n  \
  slackwater table --leaks run.slackwater";

/// Where the agent of a process that starts finds its recording.
pub(super) const RECORD: &str = "SLACKWATER_RECORD";

/// Records a command from start to end, or a service for a while.
///
/// # Errors
/// Whatever keeps the command or the recording from starting; nothing has been started then.
pub(crate) fn run(args: &RecordArgs, printer: &Printer) -> Result<Exit, Failure> {
    let options = Options {
        mode: if args.exact { Mode::Exact } else { Mode::Sampled },
        stacks: if args.native { Stacks::Native } else { Stacks::Python },
        sample_mean: args.sample.0,
        seed: args.seed,
        python_allocators: listened_to(args.python_allocators),
    };
    if args.live {
        view::require_terminal()?;
    }
    let Some(name) = args.command.first() else { return attach::run(args, &options, printer) };
    let command = Command::find(name, var_os("PATH").as_deref())?;
    let agent = agent()?;
    let output = args.output.clone().unwrap_or_else(|| named_after(&command.file));
    let file = output::capture(&output, args.force)?;
    let collector = Collector::begin(&options, file).map_err(|error| refused(&error))?;
    let mut files = Files::new(&args.files, &output, args.force);
    let collector = files.prepare(collector);
    let mut child = Child::new(&command.file);
    if command.is_shell_text {
        child = Child::new("/bin/sh");
        child.arg(&command.file);
    }
    child.args(&args.command[1..]);
    child.env(RECORD, collector.path());
    child.env(LD_PRELOAD, preload(&agent, var_os(LD_PRELOAD).as_deref()));
    let mut view = None;
    if args.live {
        if let Some(log) = view::keep_off(&mut child, &output, args.force)? {
            let log = log.display().to_string();
            printer.note(&format!("slackwater: what the command writes goes to {}", visible(&log)));
        }
        view = Some(View::open(&output, printer));
    }
    let mut follower = args.follow_exec.then(|| Follower::start(collector.settings())).transpose()?;
    if let Some(follower) = &follower {
        collector.loads(follower.agent());
    }
    let (code, ended) = supervise::until_the_end(child, collector, &options, |collector| {
        if let Some(view) = &mut view {
            view.step();
        }
        if let Some(follower) = &mut follower {
            follower.take_up(collector, printer);
        }
        files.step(collector, printer)
    })?;
    drop(view);
    if let Some(follower) = follower {
        follower.end(printer);
    }
    // Of a process that was attached to that was said at once.
    if let Some(why) = ended.as_ref().ok().and_then(|summary| summary.no_objects.as_deref()) {
        printer.warn(&visible(why));
    }
    say_ended(ended, files.newest(), printer);
    // As `run` does: the command's own code, whatever it is.
    std::process::exit(code);
}

/// Which of Python's own allocators are listened to, when the user asks for all of them or not.
pub(super) const fn listened_to(all: bool) -> PythonAllocators {
    if all { PythonAllocators::All } else { PythonAllocators::Foreign }
}

pub(super) fn refused(error: &CollectError) -> Failure {
    Failure::of(Exit::Denied, error, Some(error.hint()))
}

/// The agent: where the environment says, else beside the program, else where packages put it.
pub(super) fn agent() -> Result<PathBuf, Failure> {
    const NAME: &str = "libslackwater_agent.so";
    if let Some(path) = env::agent() {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Failure::new(Exit::Usage, format!("there is no {}", path.display()))
                .hint("correct SLACKWATER_AGENT"))
        };
    }
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Bug, "cannot tell where slackwater itself is").caused_by(&error)
    })?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let candidates = [folder.join(NAME), folder.join("../lib/slackwater").join(NAME)];
    candidates.iter().find_map(|path| path.canonicalize().ok()).ok_or_else(|| {
        let error = format!("there is no {NAME} in {}, nor in ../lib/slackwater", folder.display());
        Failure::new(Exit::Usage, error).hint(
            "copy it there from where slackwater was built (`make build`), or name it with SLACKWATER_AGENT",
        )
    })
}

/// The agent in front of what is preloaded already: it must see every call first.
pub(super) fn preload(agent: &Path, others: Option<&OsStr>) -> OsString {
    let mut value = agent.as_os_str().to_owned();
    if let Some(others) = others.filter(|others| !others.is_empty()) {
        value.push(":");
        value.push(others);
    }
    value
}

/// The capture of what has this name.
pub(super) fn named_after(program: &Path) -> PathBuf {
    let mut name = program.file_name().unwrap_or_default().to_owned();
    name.push(".slackwater");
    PathBuf::from(name)
}

fn processes(n: usize) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{n} processes") }
}

/// How a recording ended, and what it came to.
pub(super) fn say_ended(ended: Result<Summary, CollectError>, newest: &Path, printer: &Printer) {
    match ended {
        Ok(summary) => say(&summary, newest, printer),
        Err(error) => printer.warn(&format!("recording ended early: {error}; {}", error.hint())),
    }
}

fn say(summary: &Summary, output: &Path, printer: &Printer) {
    if summary.n_processes == 0 {
        printer.warn(
            "nothing was recorded: the agent was not loaded. Is the program static, built for musl, \
             started with raised rights, or limited in its address space (ulimit -v)?",
        );
        return;
    }
    let processes = processes(summary.n_processes as usize);
    let file = output.display().to_string();
    printer.note(&format!(
        "slackwater: recorded {processes}, {} events, {} in {file}",
        summary.n_events,
        Bytes(summary.written_bytes),
        file = visible(&file),
    ));
    if summary.n_lost > 0 {
        printer.warn(&format!("{} events came too fast and were lost", summary.n_lost));
    }
    if summary.n_degraded > 0 {
        printer.warn(&format!(
            "{} processes were recorded exactly at first and sampled later: events came too fast",
            summary.n_degraded
        ));
    }
    if summary.n_refused > 0 {
        printer.warn(&format!("{} processes found no room to be recorded", summary.n_refused));
    }
    printer.note(&format!("slackwater: see: slackwater table {}", visible(&file)));
}
