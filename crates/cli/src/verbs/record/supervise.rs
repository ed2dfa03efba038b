//! The command while it is recorded: drained, waited for, and told what we are told.
//!
//! Invariant: the command outlives any failure of the recording, and its exit code is kept.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use slackwater_capture::Ending;
use slackwater_capture::transport::Mode;
use slackwater_collect::{CollectError, Collector, Options, Summary, Turn};

use crate::exit::{Exit, Failure};

/// Shortest pause between two turns, when there was something to drain.
const BUSY: Duration = Duration::from_micros(500);
/// Longest pause in exact mode: a ring takes some ten milliseconds to fill.
const IDLE_EXACT: Duration = Duration::from_millis(4);
/// Longest pause in sampled mode.
const IDLE_SAMPLED: Duration = Duration::from_millis(50);

/// How long to pause between two turns.
pub(in crate::verbs) struct Pace {
    pause: Duration,
    longest: Duration,
}

impl Pace {
    pub(in crate::verbs) const fn of(options: &Options) -> Self {
        let longest = match options.mode {
            Mode::Exact => IDLE_EXACT,
            Mode::Sampled => IDLE_SAMPLED,
        };
        Self { pause: BUSY, longest }
    }

    pub(in crate::verbs) fn after(&mut self, turn: &Turn) -> Duration {
        self.pause = if turn.n_slots > 0 { BUSY } else { (self.pause * 2).min(self.longest) };
        self.pause
    }
}

/// Starts the command and records it until it ends, with `between_turns` before each turn: its exit code,
/// and what came of the recording.
pub(super) fn until_the_end(
    mut command: Command,
    collector: Collector<File>,
    options: &Options,
    mut between_turns: impl FnMut(&mut Collector<File>) -> Result<(), CollectError>,
) -> Result<(i32, Result<Summary, CollectError>), Failure> {
    let signals = Signals::watch()?;
    let mut child = command.spawn().map_err(|error| {
        let exit =
            if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::Denied } else { Exit::Usage };
        let program = command.get_program().to_string_lossy().into_owned();
        Failure::new(exit, format!("cannot execute {program}")).caused_by(&error)
    })?;
    let mut collector = Some(collector);
    let mut failed = None;
    if let Some(collector) = &mut collector {
        collector.awaits(child.id());
    }
    let mut pace = Pace::of(options);
    let status = loop {
        signals.pass_on(&child);
        let exited = child
            .try_wait()
            .map_err(|error| Failure::new(Exit::Bug, "cannot wait for the command").caused_by(&error))?;
        let turn = collector.as_mut().map(|collector| {
            between_turns(collector)?;
            collector.turn()
        });
        let pause = match turn {
            Some(Ok(turn)) => pace.after(&turn),
            Some(Err(error)) => {
                failed = Some(error);
                collector = None;
                IDLE_SAMPLED
            }
            None => IDLE_SAMPLED,
        };
        if let Some(status) = exited {
            break status;
        }
        std::thread::sleep(pause);
    };
    let (code, ending) = outcome(status);
    let ended = match (collector, failed) {
        (Some(mut collector), _) => {
            collector.tell(ending);
            collector.end().map(|(summary, _)| summary)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Summary::default()),
    };
    Ok((code, ended))
}

fn outcome(status: ExitStatus) -> (i32, Ending) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code, Ending::Exit(code as u32)),
        (None, Some(signal)) => (128 + signal, Ending::Signal(signal as u32)),
        (None, None) => (255, Ending::Gone),
    }
}

/// Signals that would end us, and are meant for the command.
struct Signals(Vec<(Signal, Arc<AtomicBool>)>);

impl Signals {
    fn watch() -> Result<Self, Failure> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let watch = |number| {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(number, Arc::clone(&flag)).map(|_| flag)
        };
        let watched = || {
            let passed_on = [(SIGTERM, Signal::TERM), (SIGHUP, Signal::HUP)];
            let mut signals = Vec::new();
            for (number, signal) in passed_on {
                signals.push((signal, watch(number)?));
            }
            // From a terminal these reach the command by themselves.
            for number in [SIGINT, SIGQUIT] {
                watch(number)?;
            }
            Ok(Self(signals))
        };
        watched().map_err(|error: std::io::Error| {
            Failure::new(Exit::Bug, "cannot wait for signals").caused_by(&error)
        })
    }

    fn pass_on(&self, child: &Child) {
        for (signal, flag) in &self.0 {
            if flag.swap(false, Ordering::Relaxed)
                && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
            {
                // Not waited for yet, so the number is still the command's.
                let _ = rustix::process::kill_process(pid, *signal);
            }
        }
    }
}
