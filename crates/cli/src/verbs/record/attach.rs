//! A service that runs already: attached to, recorded, and left again.
//!
//! Invariant: whatever ends the recording, nobody records any more when the shared memory says so, which needs
//! nobody's help. Every process is asked then to call its own functions again; one that cannot be asked in
//! time is named.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use slackwater_base::{Bytes, Pid};
use slackwater_capture::transport::late::Heard;
use slackwater_collect::{Agent, AttachError, Attached, CollectError, Collector, Options, Summary, Turn};
use slackwater_diagnose::Service;
use slackwater_procfs::Root;
use slackwater_report::visible;

use super::arrivals::{self, Arrival, Attacher, Coming, Follows, News};
use super::files::Files;
use super::leaving;
use super::opening::Opening;
use super::supervise::Pace;
use super::view::View;
use crate::args::RecordArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::{look, output};

/// Records the services that the arguments name.
pub(super) fn run(args: &RecordArgs, options: &Options, printer: &Printer) -> Result<Exit, Failure> {
    let root = Root::host();
    let agent = read_agent()?;
    let services = look::services(&root, &args.target)?;
    let interrupted = crate::verbs::interruptible()?;
    let name = services.first().map_or("service", |service| service.name.as_str());
    let output = args.output.clone().unwrap_or_else(|| super::named_after(Path::new(name)));
    let file = output::capture(&output, args.force)?;
    let collector = Collector::new(options, file).map_err(|error| super::refused(&error))?;
    let files = Files::new(&args.files, &output, args.force);
    let collector = files.prepare(collector);
    collector.loads(&agent);
    let settings = collector.settings();
    let follows = if args.follow_exec { Follows::Programs } else { Follows::Members };
    let attacher = Attacher { root: &root, agent: &agent, settings: &settings, follows };
    let meant = |service: &Service| Attacher::meant(service.clone(), &args.target).count();
    let n_first = services.iter().map(meant).sum();

    let (sender, receiver) = channel();
    let mut recording = Recording::new(collector, files, options, n_first, printer);
    recording.view = args.live.then(|| View::open(&output, printer));
    std::thread::scope(|scope| {
        scope.spawn(|| attacher.run(&services, &args.target, &sender));
        let deadline = args.duration.map(|duration| Instant::now() + duration);
        let is_over = || {
            interrupted.load(Ordering::Relaxed) || deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        recording.go_on_until(is_over, &receiver);
        arrivals::give_up();
    });
    recording.view = None;
    recording.catch_up(&receiver);
    if recording.is_empty() {
        // Nothing is in it.
        let _ = std::fs::remove_file(&output);
        return Err(recording.into_failure());
    }
    let pids = recording.everyone();
    let exit = recording.exit;
    let newest = recording.files.newest().to_path_buf();
    // From here on nobody records, left or not.
    let ended = recording.end();
    let present = || pids.iter().copied().chain(members(&root, &services, args)).collect();
    leaving::leave(&root, &agent, present, printer);
    super::say_ended(ended, &newest, printer);
    Ok(exit)
}

/// The agent, to be loaded into processes that run.
pub(super) fn read_agent() -> Result<Agent, Failure> {
    Agent::read(&super::agent()?).map_err(|error| refused(&error))
}

/// What to say of a program that is not recorded with the service that started it.
pub(super) fn not_recorded(pid: Pid, program: &str, error: &AttachError) -> String {
    format!("process {pid}, {}, is not recorded: {error}", visible(program))
}

/// The processes of the services now.
fn members(root: &Root, services: &[Service], args: &RecordArgs) -> Vec<Pid> {
    let now = services.iter().map(|service| look::refreshed(root, service, &args.target));
    now.flat_map(|service| service.members).map(|member| member.pid).collect()
}

fn refused(error: &AttachError) -> Failure {
    let exit = match error {
        AttachError::Agent { .. } => Exit::Usage,
        error if error.is_denied() => Exit::Denied,
        _ => Exit::Target,
    };
    Failure::of(exit, error, error.hint())
}

/// What of a process that was attached to is not seen.
pub(super) fn say_unseen(pid: Pid, attached: &Attached, printer: &Printer) {
    if attached.n_refused > 0 {
        printer.warn(&format!(
            "process {pid}: {} of its calls could not be redirected and are not seen",
            attached.n_refused
        ));
    }
    if let Some(why) = attached.heard.why_not() {
        printer.warn(&format!("process {pid}: {why}"));
    }
}

/// A recording under way.
struct Recording<'a> {
    collector: Collector<File>,
    files: Files,
    pace: Pace,
    printer: &'a Printer,
    began: Instant,
    /// Processes that were there at the start and have not arrived yet.
    n_awaited: usize,
    attached: BTreeSet<Pid>,
    /// In some process each of Python's objects is.
    sees_objects: bool,
    longest_stop: Duration,
    longest_loan: Duration,
    failures: Vec<Failure>,
    exit: Exit,
    failed: Option<CollectError>,
    bar: Option<ProgressBar>,
    view: Option<View<'a>>,
}

impl<'a> Recording<'a> {
    fn new(
        collector: Collector<File>,
        files: Files,
        options: &Options,
        n_awaited: usize,
        printer: &'a Printer,
    ) -> Self {
        Self {
            collector,
            files,
            pace: Pace::of(options),
            printer,
            began: Instant::now(),
            n_awaited,
            attached: BTreeSet::new(),
            sees_objects: false,
            longest_stop: Duration::ZERO,
            longest_loan: Duration::ZERO,
            failures: Vec::new(),
            exit: Exit::Done,
            failed: None,
            bar: None,
            view: None,
        }
    }

    /// Turns until it is said to be over, or nobody is left to record.
    fn go_on_until(&mut self, is_over: impl Fn() -> bool, news: &Receiver<News>) {
        while !is_over() {
            self.take_up(news);
            if self.failed.is_some() || (self.n_awaited == 0 && self.collector.is_idle()) {
                return;
            }
            match self.turn() {
                Ok(turn) => {
                    self.show(turn.n_processes);
                    std::thread::sleep(self.pace.after(&turn));
                }
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// What arrived last is met, too.
    fn catch_up(&mut self, news: &Receiver<News>) {
        self.take_up(news);
        if self.failed.is_none() {
            self.failed = self.turn().err();
        }
    }

    fn turn(&mut self) -> Result<Turn, CollectError> {
        self.files.step(&mut self.collector, self.printer)?;
        self.collector.turn()
    }

    fn take_up(&mut self, news: &Receiver<News>) {
        while let Ok(news) = news.try_recv() {
            let Arrival { pid, program, coming, outcome } = match news {
                News::Arrived(arrival) => arrival,
                News::Found(Opening { pid, found }) => {
                    self.collector.found(pid, found);
                    continue;
                }
            };
            match outcome {
                Ok((process, attached)) => {
                    self.attached.insert(pid);
                    self.longest_stop = self.longest_stop.max(attached.stopped);
                    self.longest_loan = self.longest_loan.max(attached.borrowed);
                    say_unseen(pid, &attached, self.printer);
                    self.sees_objects |= attached.heard == Heard::Each;
                    self.collector.attached(process, attached.memory);
                }
                // A worker that has ended meanwhile is nothing to worry about.
                Err(error) if coming != Coming::First && error.is_gone() => {}
                Err(error) if coming == Coming::Program => {
                    self.printer.warn(&not_recorded(pid, &program, &error));
                }
                Err(error) => self.refuse(refused(&error)),
            }
            if coming == Coming::First {
                self.n_awaited -= 1;
                if self.n_awaited == 0 {
                    self.say_attached();
                }
            }
        }
    }

    /// A process is not recorded. At the start that is said once it is known whether any is.
    fn refuse(&mut self, failure: Failure) {
        self.exit = self.exit.max(failure.exit);
        if self.n_awaited > 0 {
            self.failures.push(failure);
        } else {
            self.printer.failure(&failure);
        }
    }

    fn say_attached(&mut self) {
        if self.attached.is_empty() {
            return;
        }
        for failure in self.failures.drain(..) {
            self.printer.failure(&failure);
        }
        self.printer.note(&format!(
            "slackwater: attached to {} in {:.1} s; at the most, one thread of each was stopped for {:.1} ms, \
             and kept from its work for {:.0} ms",
            super::processes(self.attached.len()),
            self.began.elapsed().as_secs_f64(),
            self.longest_stop.as_secs_f64() * 1000.0,
            self.longest_loan.as_secs_f64() * 1000.0,
        ));
        if self.sees_objects {
            self.printer.note(
                "slackwater: Python's objects from before are not among those that are seen; `stats` says how \
                 much they hold",
            );
        }
        if self.printer.shows_progress() {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg} (Ctrl-C ends it)");
            let bar = ProgressBar::new_spinner();
            self.bar = Some(style.map_or(bar.clone(), |style| bar.with_style(style)));
        }
    }

    fn show(&mut self, n_processes: usize) {
        if let Some(view) = &mut self.view {
            view.step();
        }
        if let Some(bar) = &self.bar {
            let written = Bytes(self.collector.written_bytes());
            bar.set_message(format!("{}, {written}", super::processes(n_processes)));
            bar.tick();
        }
    }

    fn is_empty(&self) -> bool {
        self.attached.is_empty()
    }

    /// Why nothing is recorded: of several reasons the one that can be helped first.
    fn into_failure(mut self) -> Failure {
        self.failures.sort_by_key(|failure| failure.exit);
        let first = self.failures.into_iter().next();
        first.unwrap_or_else(|| Failure::new(Exit::Target, "the service has ended"))
    }

    /// The processes that were recorded, as far as they are known.
    fn everyone(&self) -> BTreeSet<Pid> {
        self.attached.iter().copied().chain(self.collector.pids()).collect()
    }

    fn end(self) -> Result<Summary, CollectError> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.failed {
            Some(error) => Err(error),
            None => self.collector.end().map(|(summary, _)| summary),
        }
    }
}
