//! Processes that are attached to: those that are there, all at once, and those that come.
//!
//! A child that a recorded process forks is recorded with it and needs nothing. One whose parent is not, or
//! that was forked in the instant before, is attached to when it is seen. So is a program that a recorded
//! process starts or becomes, where that is asked for: exec leaves nothing of the agent.
//!
//! Invariant: each is tried a few times at most; the attempts run beside the recording, which must not wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slackwater_base::Pid;
use slackwater_capture::transport::Settings;
use slackwater_collect::{Agent, AttachError, Attached, SharedMemory};
use slackwater_diagnose::{Member, ProcessTable, Role, Service, descendants};
use slackwater_inject::{InjectError, Options};
use slackwater_procfs::{Process, Root};

use super::background::give_way;
use super::opening::Opening;
use super::young::Young;
use crate::args::Target;
use crate::verbs::look;

/// How often new workers are looked for.
const SURVEY: Duration = Duration::from_millis(250);
/// How long to look for a safe moment in a process that is there from the start.
const SEARCH: Duration = Duration::from_secs(10);
/// And in one that comes: others may be waiting.
const SEARCH_LATER: Duration = Duration::from_secs(2);
/// How often one that comes is looked at until it is known whether it is recorded. Another program is left alone
/// the first time: it may be on the way to its `main`.
pub(super) const LOOKS: u32 = 4;

/// How many processes are entered at one time. Each takes a processor nearly all of the time, and while a
/// thread is stopped nobody else should want it.
pub(super) fn at_once() -> usize {
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
    /// What it runs, for people.
    pub(super) program: String,
    pub(super) coming: Coming,
    pub(super) outcome: Result<(Process, Attached), AttachError>,
}

/// How a process came to be attached to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    /// It was there from the start.
    First,
    /// It joined the service.
    Later,
    /// It is another program.
    Program,
}

/// A process, and the program that it runs: each exec makes a stack somewhere else.
type Program = (Pid, u64, u64);

/// Programs that were seen, and how often each was looked at.
pub(super) type Known = HashMap<Program, u32>;

/// Whether nobody is to be attached to any more. Not passed along, because it is asked for by a function without
/// a context; there is one recording in a process.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Ends what is under way: nobody waits for a search.
pub(super) fn give_up() {
    IS_OVER.store(true, Ordering::Relaxed);
}

fn is_over() -> bool {
    IS_OVER.load(Ordering::Relaxed)
}

/// Which processes are attached to when they come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// Those of the service.
    Members,
    /// Other programs that were started below it too.
    Programs,
    /// Programs below a command that hands the agent on, if they have not got it.
    Unhanded,
}

/// What attaching takes.
#[derive(Clone, Copy)]
pub(super) struct Attacher<'a> {
    pub(super) root: &'a Root,
    pub(super) agent: &'a Agent,
    pub(super) settings: &'a Settings,
    pub(super) follows: Follows,
}

impl Attacher<'_> {
    /// The members of a service that the user means: helpers of another kind only when they are named.
    pub(super) fn meant(service: Service, target: &Target) -> impl Iterator<Item = Member> {
        let is_named = target.only;
        service.members.into_iter().filter(move |member| member.role != Role::Other || is_named)
    }

    /// Attaches to every process of the services, then to those that come, until [`give_up`].
    pub(super) fn run(&self, services: &[Service], target: &Target, news: &Sender<News>) {
        let members: Vec<Member> =
            services.iter().flat_map(|service| Self::meant(service.clone(), target)).collect();
        let known = members.iter().map(|member| (self.program(member), LOOKS)).collect();
        let waiting = Mutex::new(members.iter());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let attached = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..at_once() {
                scope.spawn(|| {
                    while let Some(member) = next() {
                        let arrival = self.attach(member, Coming::First);
                        if arrival.outcome.is_ok() {
                            attached.lock().unwrap_or_else(PoisonError::into_inner).push(member);
                        }
                        let _ = news.send(News::Arrived(arrival));
                    }
                });
            }
        });
        // Not before all are attached: nobody waits for a look.
        for member in attached.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.look_at(member, news);
        }
        let present = || {
            let now = services.iter().map(|service| look::refreshed(self.root, service, target));
            let members = now.flat_map(|service| Self::meant(service, target));
            let mut present: Vec<_> = members.map(|member| (member, Coming::Later)).collect();
            if self.follows == Follows::Programs && !target.only {
                let others = services.iter().flat_map(|service| self.others_below(service.root().pid));
                present.extend(others);
            }
            present
        };
        self.watch(present, known, news);
    }

    /// The processes below one, as other programs.
    pub(super) fn others_below(&self, pid: Pid) -> Vec<(Member, Coming)> {
        let table = ProcessTable::read(self.root).unwrap_or_default();
        let below = descendants(&table, pid).into_iter().skip(1);
        below.map(|member| (member, Coming::Program)).collect()
    }

    /// Attaches to processes that are present and not known, until [`give_up`].
    pub(super) fn watch(
        &self,
        present: impl Fn() -> Vec<(Member, Coming)>,
        mut known: Known,
        news: &Sender<News>,
    ) {
        let mut young = Young::default();
        let mut last: Vec<(Member, Program)> = Vec::new();
        while !is_over() {
            std::thread::sleep(SURVEY);
            let is_open = |(member, program): &(Member, Program)| {
                known.get(program).is_some_and(|&n_looks| n_looks < LOOKS)
                    || self.follows != Follows::Members && self.program(member) != *program
            };
            if !young.any(self.root) && !last.iter().any(is_open) {
                continue;
            }
            last.clear();
            for (member, coming) in present() {
                let program = self.program(&member);
                let n_looks = known.entry(program).or_default();
                if *n_looks < LOOKS && !is_over() {
                    *n_looks = self.welcome(&member, coming, *n_looks + 1, news);
                }
                last.push((member, program));
            }
        }
    }

    /// Attaches to a process that was seen so many times, this one included; as how many times that counts.
    fn welcome(&self, member: &Member, coming: Coming, n_looks: u32, news: &Sender<News>) -> u32 {
        if self.is_recorded(member.pid) {
            return LOOKS;
        }
        if coming == Coming::Program && n_looks == 1 {
            return n_looks;
        }
        let arrival = self.attach(member, coming);
        let is_attached = arrival.outcome.is_ok();
        if !is_attached && n_looks < LOOKS {
            return n_looks;
        }
        let _ = news.send(News::Arrived(arrival));
        if is_attached {
            self.look_at(member, news);
        }
        LOOKS
    }

    /// Looks at what a process held when it was attached to, and tells.
    fn look_at(&self, member: &Member, news: &Sender<News>) {
        if is_over() {
            return;
        }
        let look = || {
            give_way();
            Opening::of(self.root, member)
        };
        // One that panics has found nothing.
        if let Ok(opening) = std::thread::scope(|scope| scope.spawn(look).join()) {
            let _ = news.send(News::Found(opening));
        }
    }

    fn is_recorded(&self, pid: Pid) -> bool {
        self.root.process(pid).is_ok_and(|process| match self.follows {
            Follows::Unhanded if SharedMemory::was_handed_to(&process) => true,
            _ => self.agent.is_in(&process),
        })
    }

    fn program(&self, member: &Member) -> Program {
        let stat = self.root.process(member.pid).and_then(|process| process.stat());
        (member.pid, member.start_ticks, stat.map_or(0, |stat| stat.start_stack))
    }

    fn attach(&self, member: &Member, coming: Coming) -> Arrival {
        let search = if coming == Coming::First { SEARCH } else { SEARCH_LATER };
        let options = Options { search, probe: |_| !is_over(), ..Options::default() };
        let attach = || {
            let process = self.root.process(member.pid).map_err(|source| gone_or(member.pid, source))?;
            if process.start_ticks() != member.start_ticks {
                return Err(InjectError::Gone { pid: member.pid }.into());
            }
            let attached = self.agent.attach(&process, self.settings, &options)?;
            Ok((process, attached))
        };
        let program = member.command.to_string();
        Arrival { pid: member.pid, program, coming, outcome: attach() }
    }
}

fn gone_or(pid: Pid, source: slackwater_procfs::ProcError) -> InjectError {
    if source.is_gone() { InjectError::Gone { pid } } else { InjectError::Look { pid, source } }
}
