//! A process that calls can be made in, and the search for a thread to make them.

use std::fs::File;
use std::time::Instant;

use slackwater_base::{Addr, Pid, Tid};
use slackwater_memory::{FileId, Mapping};
use slackwater_procfs::{ProcError, Process, State};

use crate::call::{Call, Options, Outcome, Point};
use crate::candidates::{Candidate, candidates};
use crate::code::Code;
use crate::entry::{Entry, Halt, Release};
use crate::error::{InjectError, Unsafe};
use crate::frame::Step;
use crate::safe_point::rules_out;
use crate::{stop, sys};

/// A process that calls can be made in. Opening it stops and changes nothing.
#[derive(Debug)]
pub struct Target<'a> {
    process: &'a Process,
    /// Opened first: it is of the program that runs now, and dies with it.
    memory: File,
}

impl<'a> Target<'a> {
    /// Checks everything that can be seen without stopping a thread.
    ///
    /// # Errors
    /// When the process is gone, stopped, traced, not ours to trace, or of a kind that cannot be
    /// entered.
    pub fn open(process: &'a Process) -> Result<Self, InjectError> {
        let pid = process.pid();
        process.require_memory().map_err(|source| look(pid, source))?;
        let memory = sys::open_memory(process.directory()).map_err(|source| match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => InjectError::Denied { pid, source },
            _ => InjectError::Gone { pid },
        })?;
        let target = Self { process, memory };
        target.check_state()?;
        Ok(target)
    }

    /// The process.
    pub const fn process(&self) -> &'a Process {
        self.process
    }

    /// Where the function `name` is exported, and by which mapped file. Files whose name `is_likely`
    /// are asked first.
    ///
    /// # Errors
    /// When the process cannot be looked at.
    pub fn exported(
        &self,
        name: &str,
        is_likely: impl Fn(&str) -> bool,
    ) -> Result<Option<(Addr, FileId)>, InjectError> {
        Ok(self.code()?.exported(name, is_likely))
    }

    /// Makes `call` in whichever thread is first found at a safe point.
    ///
    /// # Errors
    /// In every case the process is as it was.
    pub fn call(&self, call: &Call, options: &Options) -> Result<Outcome, InjectError> {
        let step = Step::Function { at: call.function, arguments: call.arguments.clone() };
        self.run(&[step], &call.blob, &call.forbidden, options)
    }

    /// As [`Target::call`], for several steps in one entry.
    pub(crate) fn run(
        &self,
        steps: &[Step],
        blob: &[u8],
        forbidden: &[FileId],
        options: &Options,
    ) -> Result<Outcome, InjectError> {
        let (release, refusals) = self.enter(steps, blob, forbidden, options)?;
        Ok(release.watch(self.process, &self.memory, options, refusals))
    }

    /// As [`Target::run`], for steps that leave something in the blob, fill the word at `marked` when they
    /// have, and rest for a while afterwards. What they left is `None` when the rest was too short for us
    /// to read it.
    pub(crate) fn run_and_collect(
        &self,
        steps: &[Step],
        blob: &[u8],
        marked: u64,
        forbidden: &[FileId],
        options: &Options,
    ) -> Result<(Outcome, Option<Vec<u8>>), InjectError> {
        let (release, refusals) = self.enter(steps, blob, forbidden, options)?;
        let left = release.collect(self.process, &self.memory, blob.len(), marked, options);
        Ok((release.watch(self.process, &self.memory, options, refusals), left))
    }

    /// Finds a thread and lets it into the calls; how many were let go untouched before.
    fn enter(
        &self,
        steps: &[Step],
        blob: &[u8],
        forbidden: &[FileId],
        options: &Options,
    ) -> Result<(Release, u32), InjectError> {
        let pid = self.pid();
        let start = Instant::now();
        let deadline = start + options.search;
        let mut refused: Vec<(Tid, Unsafe)> = Vec::new();
        let mut refusals = 0;
        // Mappings are read anew in every round: libraries come and go while we search.
        let mut code = self.code()?;
        let gadgets = code.gadgets().map_err(|what| self.lacking(what))?;
        loop {
            if !(options.probe)(Point::Searching) {
                return Err(InjectError::GivenUp(Point::Searching));
            }
            self.check_state()?;
            code.renew(self.mappings()?);
            for Candidate { tid, blocked } in candidates(self.process) {
                if let Some((pc, sp)) = blocked {
                    if let Some(reason) = rules_out(&code, pc) {
                        note(&mut refused, tid, reason);
                        continue;
                    }
                    code.load_for_stack(sp);
                }
                // Once more with what was found missing the first time; a new module each time.
                loop {
                    if Instant::now() >= deadline && refusals > 0 {
                        return Err(InjectError::Refused { pid, threads: refused });
                    }
                    let entry = Entry {
                        process: self.process,
                        memory: &self.memory,
                        code: &code,
                        gadgets,
                        steps,
                        blob,
                        forbidden,
                        options,
                    };
                    // A tracer of its own: however it ends, the kernel detaches what it traced.
                    let attempt =
                        std::thread::scope(|scope| scope.spawn(|| entry.attempt(tid, deadline)).join());
                    let reason = match attempt {
                        Ok(Ok(release)) => return Ok((release, refusals)),
                        Ok(Err(Halt::Failed(error))) => return Err(error),
                        Ok(Err(Halt::Refused(reason))) => reason,
                        // Our own bug; the thread has been let go on the way out.
                        Err(_) => Unsafe::Unstoppable,
                    };
                    if code.load_wanted() {
                        continue;
                    }
                    refusals += 1;
                    note(&mut refused, tid, reason);
                    break;
                }
            }
            if Instant::now() >= deadline {
                return Err(InjectError::Refused { pid, threads: refused });
            }
            stop::wait(start.elapsed());
        }
    }

    pub(crate) const fn memory(&self) -> &File {
        &self.memory
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(crate) fn code(&self) -> Result<Code<'_>, InjectError> {
        Ok(Code::new(self.process, &self.memory, self.mappings()?))
    }

    pub(crate) fn mappings(&self) -> Result<Vec<Mapping>, InjectError> {
        let mappings = self.process.maps().map_err(|source| look(self.pid(), source))?;
        // The memory handle is of one program for good: if it still answers, these are its mappings.
        let alive = mappings.iter().find(|mapping| mapping.access.read);
        match alive.map(|mapping| sys::read_memory(&self.memory, mapping.range.start, &mut [0])) {
            Some(Ok(())) => Ok(mappings),
            _ => Err(InjectError::Gone { pid: self.pid() }),
        }
    }

    /// What the process lacks; unless it lacks it because it is gone.
    pub(crate) fn lacking(&self, what: &'static str) -> InjectError {
        let pid = self.pid();
        match self.process.require_memory().map_err(|source| look(pid, source)).and_then(|()| self.code()) {
            Ok(_) => InjectError::Unsupported { pid, what },
            Err(error) => error,
        }
    }

    fn check_state(&self) -> Result<(), InjectError> {
        let pid = self.pid();
        let status = self.process.status().map_err(|source| look(pid, source))?;
        match (status.state, status.tracer) {
            (_, Some(tracer)) if tracer != 0 => Err(InjectError::Traced { pid, tracer: Pid(tracer) }),
            (Some(State::Stopped), _) => Err(InjectError::Stopped { pid }),
            (Some(State::Zombie), _) => Err(InjectError::Gone { pid }),
            _ if status.x86_features.iter().any(|feature| feature == "shstk") => {
                Err(InjectError::Unsupported { pid, what: "it has a shadow stack" })
            }
            _ if status.ppid.is_some_and(|parent| parent > 0 && sys::share_memory(pid, Pid(parent))) => {
                Err(InjectError::Unsupported { pid, what: "it still shares its parent's memory (vfork)" })
            }
            _ => Ok(()),
        }
    }
}

/// Keeps the last reason of each thread.
fn note(refused: &mut Vec<(Tid, Unsafe)>, tid: Tid, reason: Unsafe) {
    refused.retain(|(other, _)| *other != tid);
    refused.push((tid, reason));
}

fn look(pid: Pid, source: ProcError) -> InjectError {
    if source.is_gone() { InjectError::Gone { pid } } else { InjectError::Look { pid, source } }
}
