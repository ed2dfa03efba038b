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
use slackwater_collect::{CollectError, Collector, Options, Stacks, Summary, Turn};

use crate::exit::{Exit, Failure};

/// Shortest pause between two turns, when there was much to drain.
const BUSY: Duration = Duration::from_micros(500);
/// Longest pause in exact mode: a ring takes some ten milliseconds to fill.
const IDLE_EXACT: Duration = Duration::from_millis(4);
/// And while there are events.
const WORKING_EXACT: Duration = Duration::from_millis(2);
/// Slots of events that are not much: a thirty-second of a ring.
const FEW_EXACT: u64 = 2048;
/// Longest pause in sampled mode.
const IDLE_SAMPLED: Duration = Duration::from_millis(50);
/// And while there are samples: each time that the recorder wakes up is taken from the program.
const WORKING_SAMPLED: Duration = Duration::from_millis(16);
/// Slots of samples that are not much: a sixteenth of a ring.
const FEW_SAMPLED: u64 = 512;

/// How long to pause between two turns.
pub(in crate::verbs) struct Pace {
    pause: Duration,
    /// Slots that a turn may find and still be followed by a longer pause.
    few: u64,
    /// Longest pause after a turn that found so many.
    working: Duration,
    /// Longest pause after a turn that found none.
    idle: Duration,
}

impl Pace {
    pub(in crate::verbs) const fn of(options: &Options) -> Self {
        let (few, working, idle) = match (options.mode, options.stacks) {
            // Rules for native code are asked for, and missing until a turn has answered.
            (Mode::Exact, Stacks::Native) => (0, BUSY, IDLE_EXACT),
            (Mode::Sampled, Stacks::Native) => (0, BUSY, IDLE_SAMPLED),
            (Mode::Exact, Stacks::Python) => (FEW_EXACT, WORKING_EXACT, IDLE_EXACT),
            (Mode::Sampled, Stacks::Python) => (FEW_SAMPLED, WORKING_SAMPLED, IDLE_SAMPLED),
        };
        Self { pause: BUSY, few, working, idle }
    }

    pub(in crate::verbs) fn after(&mut self, turn: &Turn) -> Duration {
        let longest = if turn.n_slots > 0 { self.working } else { self.idle };
        self.pause = if turn.n_slots > self.few { BUSY } else { (self.pause * 2).min(longest) };
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

#[cfg(test)]
mod tests {
    use slackwater_capture::transport::PythonAllocators;

    use super::*;

    /// The pause after the last of some turns.
    fn pause_after(mode: Mode, stacks: Stacks, turns: &[u64]) -> Duration {
        let python_allocators = PythonAllocators::Foreign;
        let mut pace = Pace::of(&Options { mode, stacks, sample_mean: 1, seed: 0, python_allocators });
        let pauses = turns.iter().map(|&n_slots| pace.after(&Turn { n_slots, n_processes: 1 }));
        pauses.last().unwrap()
    }

    #[test]
    fn little_does_not_wake_the_recorder_often_and_much_does() {
        let sampled = |turns: &[u64]| pause_after(Mode::Sampled, Stacks::Python, turns);
        assert_eq!(sampled(&[0; 20]), IDLE_SAMPLED);
        assert_eq!(sampled(&[3; 20]), WORKING_SAMPLED);
        assert_eq!(sampled(&[[0; 20], [3; 20]].concat()), WORKING_SAMPLED);
        assert_eq!(sampled(&[[3; 20], [5000; 20]].concat()), BUSY);
        assert_eq!(pause_after(Mode::Sampled, Stacks::Native, &[0, 0, 3]), BUSY);
        let exact = |turns: &[u64]| pause_after(Mode::Exact, Stacks::Python, turns);
        assert_eq!(exact(&[0; 20]), IDLE_EXACT);
        assert_eq!(exact(&[3; 20]), WORKING_EXACT);
        assert_eq!(exact(&[[3; 20], [5000; 20]].concat()), BUSY);
        assert_eq!(pause_after(Mode::Exact, Stacks::Native, &[0, 0, 3]), BUSY);
    }
}
