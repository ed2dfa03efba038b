//! A service that runs already: attached to, recorded, and left again.
//!
//! Invariant: whatever ends the recording, every process is asked to call its own functions again; one that
//! cannot be asked records nothing any more, and is named.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use slackwater_base::{Bytes, Pid};
use slackwater_collect::{Agent, AttachError, CollectError, Collector, Options, Summary, Turn};
use slackwater_diagnose::Service;
use slackwater_procfs::Root;

use super::arrivals::{self, Arrival, Attacher, News};
use super::files::Files;
use super::opening::Opening;
use super::supervise::Pace;
use crate::args::RecordArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::{look, output};

/// Records the services that the arguments name.
pub(super) fn run(args: &RecordArgs, options: &Options, printer: &Printer) -> Result<Exit, Failure> {
    if args.python_allocators {
        return Err(Failure::new(Exit::Usage, "Python chooses its allocators when it starts")
            .hint("start the service with `slackwater record --python-allocators --`"));
    }
    let root = Root::host();
    let agent = Agent::read(&super::agent()?).map_err(|error| refused(&error))?;
    let services = look::services(&root, &args.target)?;
    let interrupted = crate::verbs::interruptible()?;
    let name = services.first().map_or("service", |service| service.name.as_str());
    let output = args.output.clone().unwrap_or_else(|| super::named_after(Path::new(name)));
    let file = output::capture(&output, args.force)?;
    let collector = Collector::new(options, file).map_err(|error| super::refused(&error))?;
    let files = Files::new(&args.files, &output, args.force);
    let collector = files.prepare(collector);
    let settings = collector.settings();
    let attacher = Attacher { root: &root, agent: &agent, settings: &settings, target: &args.target };
    let n_first = services.iter().map(|service| attacher.meant(service).count()).sum();

    let done = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let mut recording = Recording::new(collector, files, options, n_first, printer);
    std::thread::scope(|scope| {
        scope.spawn(|| attacher.run(&services, &sender, &done));
        let deadline = args.duration.map(|duration| Instant::now() + duration);
        let is_over = || {
            interrupted.load(Ordering::Relaxed) || deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        recording.go_on_until(is_over, &receiver);
        done.store(true, Ordering::Relaxed);
    });
    // What arrived last.
    recording.take_up(&receiver);
    if recording.is_empty() {
        // Nothing is in it.
        let _ = std::fs::remove_file(&output);
        return Err(recording.into_failure());
    }
    let pids = recording.everyone(&root, &services, args);
    let left = std::thread::scope(|scope| {
        let leaving = scope.spawn(|| leave(&root, &agent, &pids));
        recording.go_on_until(|| leaving.is_finished(), &receiver);
        leaving.join().unwrap_or_default()
    });
    for (pid, error) in &left {
        printer.warn(&format!(
            "process {pid} could not be left: {error}; its calls still pass through the agent, which does \
             nothing any more"
        ));
    }
    let exit = recording.exit;
    let newest = recording.files.newest().to_path_buf();
    match recording.end() {
        Ok(summary) => super::say(&summary, &newest, printer),
        Err(error) => printer.warn(&format!("recording ended early: {error}; {}", error.hint())),
    }
    Ok(exit)
}

/// Leaves every process, all at once; those that could not be left.
fn leave(root: &Root, agent: &Agent, pids: &BTreeSet<Pid>) -> Vec<(Pid, AttachError)> {
    std::thread::scope(|scope| {
        let leave = |pid: Pid| {
            let process = root.process(pid).ok()?;
            let left = agent.detach(&process, &arrivals::options());
            // One that has ended needs nothing.
            left.err().filter(|_| process.is_same()).map(|error| (pid, error))
        };
        let leaving: Vec<_> = pids.iter().map(|&pid| scope.spawn(move || leave(pid))).collect();
        leaving.into_iter().filter_map(|one| one.join().ok().flatten()).collect()
    })
}

fn refused(error: &AttachError) -> Failure {
    let exit = match error {
        AttachError::Agent { .. } => Exit::Usage,
        error if error.is_denied() => Exit::Denied,
        _ => Exit::Target,
    };
    Failure::of(exit, error, error.hint())
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
    longest_stop: Duration,
    longest_loan: Duration,
    failures: Vec<Failure>,
    exit: Exit,
    failed: Option<CollectError>,
    bar: Option<ProgressBar>,
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
            longest_stop: Duration::ZERO,
            longest_loan: Duration::ZERO,
            failures: Vec::new(),
            exit: Exit::Done,
            failed: None,
            bar: None,
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

    fn turn(&mut self) -> Result<Turn, CollectError> {
        self.files.step(&mut self.collector, self.printer)?;
        self.collector.turn()
    }

    fn take_up(&mut self, news: &Receiver<News>) {
        while let Ok(news) = news.try_recv() {
            let Arrival { pid, is_first, outcome } = match news {
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
                    if attached.n_refused > 0 {
                        self.printer.warn(&format!(
                            "process {pid}: {} of its calls could not be redirected and are not seen",
                            attached.n_refused
                        ));
                    }
                    if let Some(what) = attached.unseen {
                        self.printer.warn(&format!("process {pid}: {what}"));
                    }
                    self.collector.attached(process, attached.memory);
                }
                // A worker that has ended meanwhile is nothing to worry about.
                Err(error) if !is_first && error.is_gone() => {}
                Err(error) => self.refuse(refused(&error)),
            }
            if is_first {
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
        if self.printer.shows_progress() {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg} (Ctrl-C ends it)");
            let bar = ProgressBar::new_spinner();
            self.bar = Some(style.map_or(bar.clone(), |style| bar.with_style(style)));
        }
    }

    fn show(&self, n_processes: usize) {
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

    /// Every process that may call through the agent.
    fn everyone(&self, root: &Root, services: &[Service], args: &RecordArgs) -> BTreeSet<Pid> {
        let now = services.iter().map(|service| look::refreshed(root, service, &args.target));
        let members = now.flat_map(|service| service.members).map(|member| member.pid);
        members.chain(self.attached.iter().copied()).chain(self.collector.pids()).collect()
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
