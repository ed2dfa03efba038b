//! Processes that are attached to: those that are there, all at once, and those that come.
//!
//! A child that a recorded process forks is recorded with it and needs nothing. One whose parent is not, or
//! that was forked in the instant before, is attached to when it is seen.
//!
//! Invariant: each process is tried once; the attempts run beside the recording, which must not wait.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slackwater_base::Pid;
use slackwater_capture::transport::Settings;
use slackwater_collect::{Agent, AttachError, Attached};
use slackwater_diagnose::{Member, Role, Service};
use slackwater_inject::{InjectError, Options};
use slackwater_procfs::{Process, Root};

use super::opening::Opening;
use crate::args::Target;
use crate::verbs::look;

/// How often new workers are looked for.
const SURVEY: Duration = Duration::from_millis(250);
/// How long to look for a safe moment in a process.
const SEARCH: Duration = Duration::from_secs(10);

/// How many processes are entered at one time. Each takes a processor nearly all of the time, and while a
/// thread is stopped nobody else should want it.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What there is to tell of one process.
pub(super) enum News {
    /// It is attached to, or not.
    Arrived(Arrival),
    /// What it held then.
    Found(Opening),
}

/// What came of one process.
pub(super) struct Arrival {
    pub(super) pid: Pid,
    /// Of those that were there from the start, this is one.
    pub(super) is_first: bool,
    pub(super) outcome: Result<(Process, Attached), AttachError>,
}

/// How processes are entered.
pub(super) fn options() -> Options {
    Options { search: SEARCH, ..Options::default() }
}

/// What attaching takes.
#[derive(Clone, Copy)]
pub(super) struct Attacher<'a> {
    pub(super) root: &'a Root,
    pub(super) agent: &'a Agent,
    pub(super) settings: &'a Settings,
    pub(super) target: &'a Target,
}

impl Attacher<'_> {
    /// The members of a service that the user means: helpers of another kind only when they are named.
    pub(super) fn meant<'s>(&self, service: &'s Service) -> impl Iterator<Item = &'s Member> {
        let is_named = self.target.only;
        service.members.iter().filter(move |member| member.role != Role::Other || is_named)
    }

    /// Attaches to every process of the services, then to those that come, until `done`.
    pub(super) fn run(&self, services: &[Service], news: &Sender<News>, done: &AtomicBool) {
        let members: Vec<&Member> = services.iter().flat_map(|service| self.meant(service)).collect();
        let mut known: HashSet<(Pid, u64)> = members.iter().map(|member| identity(member)).collect();
        let waiting = Mutex::new(members.iter());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let attached = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..at_once() {
                scope.spawn(|| {
                    while let Some(member) = next() {
                        if self.take_in(member, true, news) {
                            attached.lock().unwrap_or_else(PoisonError::into_inner).push(member);
                        }
                    }
                });
            }
        });
        // Not before all are attached: nobody waits for a look.
        for member in attached.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.look_at(member, news, done);
        }
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(SURVEY);
            for service in services.iter().map(|service| look::refreshed(self.root, service, self.target)) {
                for member in self.meant(&service) {
                    if !known.insert(identity(member)) || self.is_recorded(member.pid) {
                        continue;
                    }
                    if self.take_in(member, false, news) {
                        self.look_at(member, news, done);
                    }
                }
            }
        }
    }

    /// Attaches to a process, and tells; whether it is attached.
    fn take_in(&self, member: &Member, is_first: bool, news: &Sender<News>) -> bool {
        let arrival = self.attach(member, is_first);
        let is_attached = arrival.outcome.is_ok();
        let _ = news.send(News::Arrived(arrival));
        is_attached
    }

    /// Looks at what a process held when it was attached to, and tells.
    fn look_at(&self, member: &Member, news: &Sender<News>, done: &AtomicBool) {
        if !done.load(Ordering::Relaxed) {
            let _ = news.send(News::Found(Opening::of(self.root, member)));
        }
    }

    fn is_recorded(&self, pid: Pid) -> bool {
        self.root.process(pid).is_ok_and(|process| self.agent.is_in(&process))
    }

    fn attach(&self, member: &Member, is_first: bool) -> Arrival {
        let attach = || {
            let process = self.root.process(member.pid).map_err(|source| gone_or(member.pid, source))?;
            if process.start_ticks() != member.start_ticks {
                return Err(InjectError::Gone { pid: member.pid }.into());
            }
            let attached = self.agent.attach(&process, self.settings, &options())?;
            Ok((process, attached))
        };
        Arrival { pid: member.pid, is_first, outcome: attach() }
    }
}

fn gone_or(pid: Pid, source: slackwater_procfs::ProcError) -> InjectError {
    if source.is_gone() { InjectError::Gone { pid } } else { InjectError::Look { pid, source } }
}

fn identity(member: &Member) -> (Pid, u64) {
    (member.pid, member.start_ticks)
}
