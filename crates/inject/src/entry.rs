//! One attempt on one thread: stop, prove, write, commit.
//!
//! Invariant: there is one irrevocable step, setting the registers, and it is atomic. Before it only
//! memory below the thread's red zone has been written, which no code may rely on; after it the
//! thread makes the call and restores itself without us. So this program may be killed at any
//! instant and the target runs on correctly.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

use slackwater_base::{Addr, PAGE_SIZE, Pid, Range, Tid};
use slackwater_memory::FileId;
use slackwater_procfs::{Process, State, Status};

use crate::call::{Options, Outcome, Point};
use crate::code::Code;
use crate::error::{InjectError, Unsafe};
use crate::frame::{Announce, Chain, Gadgets, Home, Step};
use crate::regs::Registers;
use crate::stack::{self, Words};
use crate::stop::{self, StopError, Stopped};
use crate::{filters, resume, safe_point, sys, xstate};

/// Longest time a single thread may take to stop.
const STOP_WITHIN: Duration = Duration::from_millis(100);

/// SIGKILL and SIGSTOP: never blocked.
const UNBLOCKABLE: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);

/// The first kernel whose PTRACE_GETSIGMASK sees through a temporary mask (`major * 1000 + minor`).
const SHOWS_SAVED_MASK: u32 = 5002;

/// Everything an attempt needs.
pub(crate) struct Entry<'a> {
    pub(crate) process: &'a Process,
    pub(crate) memory: &'a File,
    pub(crate) code: &'a Code<'a>,
    pub(crate) gadgets: Gadgets,
    pub(crate) steps: &'a [Step],
    pub(crate) blob: &'a [u8],
    pub(crate) forbidden: &'a [FileId],
    pub(crate) options: &'a Options,
}

/// Why an attempt did not release the thread into the calls.
pub(crate) enum Halt {
    /// Not this thread, or not now.
    Refused(Unsafe),
    /// Not this process.
    Failed(InjectError),
}

impl From<Unsafe> for Halt {
    fn from(reason: Unsafe) -> Self {
        Self::Refused(reason)
    }
}

/// A thread on its way through the calls.
pub(crate) struct Release {
    tid: Tid,
    stopped: Duration,
    at: Instant,
    chain: Chain,
    announce: Announce,
    signal_mask: u64,
}

impl Entry<'_> {
    /// Tries to make the calls in one thread. Must run on a thread of ours that does nothing else.
    pub(crate) fn attempt(&self, tid: Tid, deadline: Instant) -> Result<Release, Halt> {
        sys::hurry();
        let stop_by = deadline.min(Instant::now() + STOP_WITHIN);
        let stopped = Stopped::stop(self.process, tid, stop_by).map_err(|error| match error {
            StopError::Thread(reason) => Halt::Refused(reason),
            StopError::Denied(source) => self.denied(tid, source),
        })?;
        let until = Instant::now() + self.options.stop_budget;
        self.reach(Point::Stopped)?;

        let (registers, status) = (stopped.registers(), stopped.status());
        Self::check_mode(&registers, status)?;
        let vector_state = sys::vector_state(tid).map_err(|_| Unsafe::VectorState)?;
        let announce = self.announce_for(tid, status)?;
        self.reach(Point::Read)?;

        let (stack, entered) = self.prove(&registers, until)?;
        let home = resume::home(self.memory, tid, &registers, status, entered)?;
        let signal_mask = Self::signal_mask(tid, &home, announce)?;
        let vector_state =
            xstate::for_signal_frame(&vector_state, sys::vector_component).ok_or(Unsafe::VectorState)?;
        let home = Home { registers: &home, signal_mask, vector_state: &vector_state };
        let chain = self.build(home, stack, announce)?;
        self.reach(Point::Proven)?;

        sys::write_memory(self.memory, chain.base, &chain.bytes).map_err(|source| {
            match sys::read_memory(self.memory, chain.base, &mut [0]) {
                Ok(()) => Halt::Failed(InjectError::Write { tid, source }),
                // Killed while it was stopped: what was just found there is no more.
                Err(_) => Halt::Refused(Unsafe::Ended),
            }
        })?;
        self.reach(Point::Written)?;
        if Instant::now() > until {
            return Err(Unsafe::TookTooLong.into());
        }

        let at = Instant::now();
        let stopped = stopped.commit(&chain.release).map_err(|source| match source.raw_os_error() {
            // Killed while it was stopped.
            Some(libc::ESRCH) => Halt::Refused(Unsafe::Ended),
            _ => Halt::Failed(InjectError::Commit { tid, source }),
        })?;
        // Giving up here ends only the waiting.
        let _ = (self.options.probe)(Point::Released);
        Ok(Release { tid, stopped, at, announce, chain, signal_mask })
    }

    fn reach(&self, point: Point) -> Result<(), Halt> {
        if (self.options.probe)(point) { Ok(()) } else { Err(Halt::Failed(InjectError::GivenUp(point))) }
    }

    /// Why the kernel does not let us trace a thread.
    fn denied(&self, tid: Tid, source: io::Error) -> Halt {
        let pid = self.process.pid();
        match self.process.task_status(tid) {
            // Not a matter of rights: it is on its way out.
            Err(_) | Ok(Status { state: Some(State::Zombie), .. }) => Halt::Refused(Unsafe::Ended),
            Ok(Status { tracer: Some(tracer), .. }) if tracer != 0 => {
                Halt::Failed(InjectError::Traced { pid, tracer: Pid(tracer) })
            }
            Ok(_) => Halt::Failed(InjectError::Denied { pid, source }),
        }
    }

    /// What rules a thread out before anything else is looked at.
    fn check_mode(registers: &Registers, status: &Status) -> Result<(), Unsafe> {
        if !registers.is_64_bit() {
            Err(Unsafe::Not64Bit)
        } else if registers.is_single_stepped() {
            Err(Unsafe::SingleStepped)
        } else if status.seccomp == Some(1) {
            Err(Unsafe::Strict)
        } else {
            Ok(())
        }
    }

    /// How the end of the calls will be seen. A filter may end the program for a system call that it never
    /// makes by itself, so its filters are asked about every one of ours.
    fn announce_for(&self, tid: Tid, status: &Status) -> Result<Announce, Unsafe> {
        if status.seccomp == Some(0) {
            return Ok(Announce::Kernel);
        }
        let filters = filters::of(tid);
        let allows = |number: i64| {
            let filters = filters.as_ref().map_err(Clone::clone)?;
            Ok(filters.iter().all(|filter| filters::allows(filter, number)))
        };
        for step in self.steps {
            if let Step::Syscall { number, .. } = step
                && !allows(*number)?
            {
                return Err(Unsafe::Filtered);
            }
        }
        let is_announced = allows(libc::SYS_rt_sigprocmask) == Ok(true);
        Ok(if is_announced { Announce::Kernel } else { Announce::Silent })
    }

    /// The mask to restore: the one in force outside the wait.
    fn signal_mask(tid: Tid, home: &Registers, announce: Announce) -> Result<u64, Unsafe> {
        const TEMPORARY: [i64; 5] = [
            libc::SYS_ppoll,
            libc::SYS_pselect6,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_rt_sigsuspend,
        ];
        let is_old = sys::kernel_release().is_none_or(|release| release < SHOWS_SAVED_MASK);
        if is_old && TEMPORARY.contains(&(home.rax as i64)) {
            return Err(Unsafe::TemporaryMask);
        }
        let mask = sys::signal_mask(tid).map_err(|_| Unsafe::Ended)?;
        if announce == Announce::Silent && mask | UNBLOCKABLE == u64::MAX {
            return Err(Unsafe::MaskFull);
        }
        Ok(mask)
    }

    /// Proves that the thread is at a safe point. Returns the bounds of its stack, and the function of
    /// the C library that it waits in.
    fn prove(&self, registers: &Registers, until: Instant) -> Result<(Range, Option<&'static str>), Unsafe> {
        let mapping = self.code.mapping_at(registers.sp()).ok_or(Unsafe::StackUnknown)?;
        let mapping = &self.code.mappings()[mapping];
        let stack = stack::bounds(registers, mapping, self.memory).ok_or(Unsafe::StackUnknown)?;
        let words = Words::new(self.memory, registers.sp(), stack.end);
        let entered = safe_point::prove(self.code, registers, stack, &words, self.forbidden, until)?;
        Ok((stack, entered))
    }

    /// Lays the chain out where it fits on the thread's stack.
    fn build(&self, home: Home<'_>, stack: Range, announce: Announce) -> Result<Chain, Unsafe> {
        let sp = home.registers.sp();
        // Random, so that no leftover of the program's own can be mistaken for it.
        let sentinel = RandomState::new().hash_one(sp) | 1;
        let short = || Unsafe::StackShort { left_bytes: sp.offset_from(stack.start) };
        let chain =
            Chain::build(self.gadgets, self.steps, self.blob, home, sentinel, announce).ok_or_else(short)?;
        let lowest =
            chain.base.checked_sub(self.options.stack_bytes.next_multiple_of(PAGE_SIZE)).ok_or_else(short)?;
        let is_free = lowest >= stack.start && stack::is_accessible(self.memory, Range::new(lowest, sp));
        if is_free { Ok(chain) } else { Err(short()) }
    }
}

impl Release {
    /// Copies the first `len` bytes of the calls' blob as the calls have left them: `marked` is a word in
    /// it that a step after them fills. `None` when the thread was on its own stack again before the copy
    /// was complete: it may have overwritten them.
    pub(crate) fn collect(
        &self,
        process: &Process,
        memory: &File,
        len: usize,
        marked: u64,
        options: &Options,
    ) -> Option<Vec<u8>> {
        let mut mark = [0; 8];
        while self.at.elapsed() < options.patience {
            sys::read_memory(memory, self.chain.blob + marked, &mut mark).ok()?;
            let is_marked = mark != [0; 8];
            let mut bytes = vec![0; len];
            if is_marked {
                sys::read_memory(memory, self.chain.blob, &mut bytes).ok()?;
            }
            // Asked last: what was copied before was not the thread's to change yet.
            match self.state(process, memory) {
                Progress::Running if is_marked => return Some(bytes),
                Progress::Running => stop::wait(self.at.elapsed()),
                Progress::Finished | Progress::Gone => return None,
            }
        }
        None
    }

    /// Waits until the calls have returned, without touching the thread.
    pub(crate) fn watch(self, process: &Process, memory: &File, options: &Options, refusals: u32) -> Outcome {
        let finished = loop {
            match self.state(process, memory) {
                Progress::Finished => break true,
                Progress::Gone => break false,
                Progress::Running if self.at.elapsed() >= options.patience => break false,
                Progress::Running => stop::wait(self.at.elapsed()),
            }
        };
        Outcome { tid: self.tid, finished, stopped: self.stopped, ran: self.at.elapsed(), refusals }
    }

    fn state(&self, process: &Process, memory: &File) -> Progress {
        let is_changed = |at: Addr| {
            let mut bytes = [0; 8];
            sys::read_memory(memory, at, &mut bytes)
                .map(|()| u64::from_le_bytes(bytes) != self.chain.sentinel)
        };
        match (self.announce, is_changed(self.chain.finish_word)) {
            (_, Err(_)) => Progress::Gone,
            // By the kernel at the end of the chain, or by the thread, using its stack again.
            (_, Ok(true)) => Progress::Finished,
            (Announce::Kernel, Ok(false)) => Progress::Running,
            // A call has begun, and the thread's own signal mask is in force again.
            (Announce::Silent, Ok(false)) => {
                let has_begun = is_changed(self.chain.start_word).unwrap_or(false);
                let mask = process.task_status(self.tid).map(|status| status.signals_blocked);
                match mask {
                    Err(_) => Progress::Gone,
                    Ok(mask) if has_begun && mask == Some(self.signal_mask) => Progress::Finished,
                    Ok(_) => Progress::Running,
                }
            }
        }
    }
}

enum Progress {
    Running,
    Finished,
    /// The thread or its program has ended meanwhile.
    Gone,
}
