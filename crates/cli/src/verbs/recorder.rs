//! The hidden verb behind `run --record`: drains until the service has ended.
//!
//! It has the capture as its standard input, and says on its standard output where the shared memory is.
//! SIGTERM ends the recording, not the service: in a control group that is stopped as a whole, both get it,
//! and what the service held then is what the capture has as live.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use slackwater_capture::transport::Mode;
use slackwater_collect::{CollectError, Collector, Options, Stacks};
use slackwater_procfs::{Process, Root, State};

use super::record::{self, Files, Pace};
use crate::args::RecorderArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// The word that leads to this verb.
pub(super) const VERB: &str = "recorder";

/// Mean distance of samples in bytes.
const SAMPLE_MEAN: u64 = 512 << 10;

/// Records, or starts the process that does.
///
/// # Errors
/// When recording cannot begin.
pub(crate) fn run(args: &RecorderArgs, printer: &Printer) -> Result<Exit, Failure> {
    if args.detach {
        return detach();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Bug, "this is started by `slackwater run --record` itself").caused_by(error)
    };
    for signal in [SIGHUP, SIGINT, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::default()).map_err(|error| failed(&error))?;
    }
    signal_hook::flag::register(SIGTERM, Arc::clone(&stop)).map_err(|error| failed(&error))?;
    let service = Root::host()
        .process(args.service)
        .map_err(|error| Failure::new(Exit::Target, "the service is gone").caused_by(&error))?;
    let capture =
        std::io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(|error| failed(&error))?;
    // What is not written any more is not kept open.
    let nothing = File::options().read(true).write(true).open("/dev/null").map_err(|error| failed(&error))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(|error| failed(&error.into()))?;
    let options = Options {
        mode: Mode::Sampled,
        sample_mean: SAMPLE_MEAN,
        seed: 0,
        stacks: Stacks::Python,
        python_allocators: record::listened_to(args.python_allocators),
    };
    let collector = Collector::begin(&options, capture).map_err(|error| record::refused(&error))?;
    let mut files = Files::new(&args.files, &args.capture, false);
    let collector = files.prepare(collector);
    printer.data(&format!("{}\n", collector.path().display()))?;
    rustix::stdio::dup2_stdout(&nothing).map_err(|error| failed(&error.into()))?;
    // No folder is kept busy.
    let _ = std::env::set_current_dir("/");
    let step = |collector: &mut Collector<File>| files.step(collector, printer);
    let ended = until_the_end(collector, &service, &stop, &options, step);
    record::say_ended(ended, files.newest(), printer);
    Ok(Exit::Done)
}

/// Starts this verb again, as nobody's child, in a session of its own.
fn detach() -> Result<Exit, Failure> {
    let failed = |error: &std::io::Error| Failure::new(Exit::Bug, "cannot start a recorder").caused_by(error);
    // Fails for a leader of a group, which `run` has not made us.
    let _ = rustix::process::setsid();
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let words = std::env::args_os().skip(1).filter(|word| word != "--detach");
    Command::new(program).arg0("slackwater").args(words).spawn().map_err(|error| failed(&error))?;
    Ok(Exit::Done)
}

fn until_the_end(
    mut collector: Collector<File>,
    service: &Process,
    stop: &AtomicBool,
    options: &Options,
    mut between_turns: impl FnMut(&mut Collector<File>) -> Result<(), CollectError>,
) -> Result<slackwater_collect::Summary, CollectError> {
    let mut pace = Pace::of(options);
    while !stop.load(Ordering::Relaxed) {
        between_turns(&mut collector)?;
        let turn = collector.turn()?;
        if turn.n_processes == 0 && has_ended(service) {
            break;
        }
        std::thread::sleep(pace.after(&turn));
    }
    collector.end().map(|(summary, _)| summary)
}

fn has_ended(service: &Process) -> bool {
    !service.is_same() || service.stat().is_ok_and(|stat| stat.state == State::Zombie)
}
