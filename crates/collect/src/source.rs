//! One session: its memory, and the processes that write to it.
//!
//! A command that is started has one session for all its processes; each process that is attached to has
//! its own, which the children that it forks share.
//!
//! Invariant: a ring is given back only after it was drained to its end and its process is gone.

use std::io::Write;
use std::sync::Arc;

use slackwater_base::Pid;
use slackwater_capture::transport::Ring;
use slackwater_capture::{Ending, Generation, Writer};
use slackwater_procfs::Process;
use slackwater_unwind::Region;

use crate::collector::{Summary, Turn};
use crate::error::CollectError;
use crate::generation::{LOOK_NS, LOOK_SOON_NS, Life, Recorded, SampleMean};
use crate::memory::SharedMemory;
use crate::namespace::Namespace;
use crate::native::{Native, Task};

/// The process whose ending its parent will tell, and that ending.
pub(crate) type Awaited = Option<(u32, Option<Ending>)>;

/// A process that has just claimed a ring.
pub(crate) struct Newcomer {
    /// Of its ring.
    number: usize,
    /// Its pid as it knows it.
    pub(crate) inside: u32,
    /// Its pid as we know it.
    pub(crate) pid: u32,
    pub(crate) parent: Option<Generation>,
    /// `None` when it is gone already.
    pub(crate) process: Option<Process>,
}

/// A session and its processes.
pub(crate) struct Source {
    memory: Arc<SharedMemory>,
    namespace: Namespace,
    /// Who was attached to; `None` for a session that whoever has its path may join.
    attached: Option<Process>,
    /// Who has the ring of this number.
    recorded: Vec<Option<Box<Recorded>>>,
    /// Claims of rings when they were last looked through, and when that was.
    looked_at: Option<(u64, u64)>,
}

impl Source {
    /// For processes that are started with the session's path.
    pub(crate) fn launched(memory: SharedMemory, n_rings: usize) -> Self {
        Self::new(memory, n_rings, None)
    }

    /// For a process that was attached to, and its children.
    pub(crate) fn attached(memory: SharedMemory, n_rings: usize, process: Process) -> Self {
        Self::new(memory, n_rings, Some(process))
    }

    fn new(memory: SharedMemory, n_rings: usize, attached: Option<Process>) -> Self {
        let recorded = std::iter::repeat_with(|| None).take(n_rings).collect();
        let namespace = Namespace::of(attached.as_ref());
        Self { memory: Arc::new(memory), namespace, attached, recorded, looked_at: None }
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    pub(crate) fn recorded(&mut self) -> impl Iterator<Item = &mut Recorded> {
        self.recorded.iter_mut().flatten().map(Box::as_mut)
    }

    /// Whether nobody can write to it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.recorded.iter().all(Option::is_none)
            && self.attached.as_ref().is_some_and(|process| !process.is_same())
    }

    /// Whether rings are to be looked through for newcomers: some were claimed, or whoever claimed one may
    /// have been killed before it said so. Looking touches a page for each ring.
    pub(crate) fn has_newcomers(&mut self, now_ns: u64) -> Result<bool, CollectError> {
        let n_claims = self.memory.session()?.n_claims();
        let is_known = |(n_known, looked_ns): (u64, u64)| {
            n_known == n_claims && now_ns.saturating_sub(looked_ns) < LOOK_NS
        };
        if self.looked_at.is_some_and(is_known) {
            return Ok(false);
        }
        self.looked_at = Some((n_claims, now_ns));
        Ok(true)
    }

    /// A process that has a ring now and is not known yet: one at a time, because it may be the parent of
    /// the next one.
    pub(crate) fn newcomer(&self) -> Result<Option<Newcomer>, CollectError> {
        let session = self.memory.session()?;
        let mut unknown = self.recorded.iter().enumerate().filter(|(_, known)| known.is_none());
        let newcomer = |(number, _)| {
            let ring: Ring<'_> = session.ring(number)?;
            let inside = ring.owner()?;
            let process = self.namespace.process(inside);
            let outside = process.as_ref().and_then(|process| u32::try_from(process.pid().0).ok());
            let known = || self.recorded.iter().flatten();
            let told = || known().find(|one| one.inside == ring.parent() && ring.parent() != 0);
            // A thread that had nothing to record before it forked cannot tell.
            let above = process.as_ref().and_then(|process| u32::try_from(process.stat().ok()?.ppid).ok());
            let parent = told().or_else(|| known().find(|one| Some(one.pid) == above));
            let parent = parent.map(|one| one.generation);
            Some(Newcomer { number, inside, pid: outside.unwrap_or(inside), parent, process })
        };
        Ok(unknown.find_map(newcomer))
    }

    /// Has its native code looked at.
    pub(crate) fn introduce(&self, newcomer: &Newcomer, generation: Generation, native: &Native) {
        native.ask(Task::Meet {
            generation,
            parent: newcomer.parent,
            pid: newcomer.pid,
            inside: newcomer.inside,
            memory: Arc::clone(&self.memory),
            ring: newcomer.number,
        });
    }

    /// Takes one up.
    pub(crate) fn take_up(&mut self, newcomer: Newcomer, generation: Generation, sample_mean: SampleMean) {
        if let Some(place) = self.recorded.get_mut(newcomer.number) {
            *place = Some(Box::new(Recorded::new(generation, newcomer, sample_mean)));
        }
    }

    /// Drains, looks, writes.
    pub(crate) fn turn<W: Write>(
        &mut self,
        awaited: Awaited,
        native: Option<&Native>,
        writer: &mut Writer<W>,
        summary: &mut Summary,
        now_ns: u64,
    ) -> Result<Turn, CollectError> {
        let session = self.memory.session()?;
        session.beat(now_ns);
        let mut turn = Turn { n_slots: 0, n_processes: 0 };
        let n_used = self.recorded.iter().flatten().count();
        let interval_ns = if n_used * 4 > self.recorded.len() { LOOK_SOON_NS } else { LOOK_NS };
        for (number, place) in self.recorded.iter_mut().enumerate() {
            let (Some(recorded), Some(ring)) = (place.as_mut(), session.ring(number)) else { continue };
            recorded.is_awaited = awaited.is_some_and(|(pid, told)| pid == recorded.pid && told.is_none());
            turn.n_processes += 1;
            turn.n_slots = turn.n_slots.saturating_add(recorded.drain(ring, now_ns, native));
            if let Some(native) = native {
                let slot = Region::new(session.native()).slot(number);
                slot.iter()
                    .for_each(|slot| native.look(&mut recorded.asked, recorded.generation, slot, now_ns));
            }
            // One that is awaited is kept until its ending is told.
            let is_gone = recorded.look(now_ns, interval_ns) == Life::Gone && !recorded.is_awaited;
            if is_gone {
                let ending = told(awaited, recorded.pid).unwrap_or(Ending::Gone);
                finish(recorded, ring, ending, native, now_ns, writer)?;
                summary.count(recorded);
                ring.release();
                *place = None;
            } else {
                recorded.write(writer, now_ns)?;
            }
        }
        summary.n_refused = summary.n_refused.saturating_add(session.take_refused());
        Ok(turn)
    }

    /// Nobody is to write any more: agents become dormant.
    pub(crate) fn close(&self) {
        if let Ok(session) = self.memory.session() {
            session.end();
        }
    }

    /// Drains what is left after [`Source::close`], and notes how each process ended.
    pub(crate) fn end<W: Write>(
        &mut self,
        awaited: Awaited,
        native: Option<&Native>,
        writer: &mut Writer<W>,
        summary: &mut Summary,
        now_ns: u64,
    ) -> Result<(), CollectError> {
        let session = self.memory.session()?;
        for (number, recorded) in self.recorded.iter_mut().enumerate() {
            let (Some(recorded), Some(ring)) = (recorded, session.ring(number)) else { continue };
            recorded.drain(ring, now_ns, native);
            let untold = match recorded.look_again(now_ns) {
                Life::Running => Ending::Outlived,
                Life::Gone => Ending::Gone,
            };
            let ending = told(awaited, recorded.pid).unwrap_or(untold);
            finish(recorded, ring, ending, native, now_ns, writer)?;
            summary.count(recorded);
        }
        Ok(())
    }

    /// The processes that write to it.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        let recorded = self.recorded.iter().flatten();
        recorded.filter_map(|one| i32::try_from(one.pid).ok()).map(Pid)
    }
}

fn told(awaited: Awaited, pid: u32) -> Option<Ending> {
    awaited.filter(|&(one, _)| one == pid)?.1
}

fn finish<W: Write>(
    recorded: &mut Recorded,
    ring: Ring<'_>,
    ending: Ending,
    native: Option<&Native>,
    now_ns: u64,
    writer: &mut Writer<W>,
) -> Result<(), CollectError> {
    recorded.replaced();
    // Each turn passes over one slot at least, and nobody fills the ring of a process that is gone, unless
    // another process of the session forges it: that one is not waited for.
    let mut n_left = ring.n_slots();
    while n_left > 0 {
        let n_drained = recorded.drain(ring, now_ns, native);
        recorded.write(writer, now_ns)?;
        n_left = if n_drained == 0 { 0 } else { n_left.saturating_sub(n_drained) };
    }
    if let Some(native) = native {
        native.ask(Task::Leave { generation: recorded.generation });
    }
    recorded.end(ending, now_ns);
    recorded.flush(writer)
}

#[cfg(test)]
mod tests {
    use slackwater_capture::transport::{Mode, PythonAllocators, Settings};

    use super::*;

    #[test]
    fn rings_are_looked_through_when_one_was_claimed_and_now_and_then() {
        let settings = Settings {
            mode: Mode::Exact,
            sample_mean: 1,
            seed: 0,
            n_rings: 2,
            n_slots: 64,
            native_words: 0,
            python_allocators: PythonAllocators::Foreign,
        };
        let mut source = Source::launched(SharedMemory::new(&settings).unwrap(), settings.n_rings);
        let has = |source: &mut Source, now_ns| source.has_newcomers(now_ns).unwrap();
        assert!(has(&mut source, 1));
        assert!(!has(&mut source, 2));
        assert_eq!(source.memory().session().unwrap().claim(7, 0), Some(0));
        assert!(has(&mut source, 3));
        assert!(!has(&mut source, 4));
        // As if its owner had been killed before it could say that it had claimed it.
        assert!(source.memory().session().unwrap().ring(1).unwrap().claim(8, 0));
        assert!(!has(&mut source, 2 + LOOK_NS));
        assert!(has(&mut source, 3 + LOOK_NS));
        assert_eq!(source.newcomer().unwrap().map(|newcomer| newcomer.inside), Some(7));
    }
}
