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

use slackwater_base::{Addr, PAGE_SIZE, Range, Tid};
use slackwater_memory::FileId;
use slackwater_procfs::{Process, Status};

use crate::call::{Options, Outcome, Point};
use crate::code::Code;
use crate::error::{InjectError, Unsafe};
use crate::frame::{Announce, Chain, Gadgets, Home, Step};
use crate::regs::{Interrupted, Registers, SYSCALL_INSTRUCTION};
use crate::safe_point::prove;
use crate::stack::{self, Words};
use crate::stop::{self, StopError, Stopped};
use crate::{sys, xstate};

/// Stack that must be left below the frames for the calls themselves. `malloc_trim` needs under 1
/// KiB, jemalloc's purge a few; the rest is margin for what they call.
const STACK_FOR_CALLS: u64 = 24 << 10;

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
        let stop_by = deadline.min(Instant::now() + STOP_WITHIN);
        let mut stopped = Stopped::stop(tid, stop_by).map_err(|error| match error {
            StopError::Thread(reason) => Halt::Refused(reason),
            StopError::Denied(source) => Halt::Failed(self.denied(tid, source)),
        })?;
        self.reach(Point::Stopped)?;

        let registers = stopped.registers().map_err(|_| Unsafe::Not64Bit)?;
        let status = self.process.task_status(tid).map_err(|_| Unsafe::Ended)?;
        stopped.hide_interruption(&registers, &status);
        let home = self.home(tid, &registers, &status)?;
        let signal_mask = self.signal_mask(tid, &home)?;
        let vector_state = xstate::for_signal_frame(
            &sys::vector_state(tid).map_err(|_| Unsafe::VectorState)?,
            sys::vector_component,
        )
        .ok_or(Unsafe::VectorState)?;
        self.reach(Point::Read)?;

        let chain = self.prove_and_build(&registers, &home, signal_mask, &vector_state, &status)?;
        self.reach(Point::Proven)?;

        sys::write_memory(self.memory, chain.base, &chain.bytes)
            .map_err(|source| Halt::Failed(InjectError::Write { tid, source }))?;
        self.reach(Point::Written)?;

        let at = Instant::now();
        let stopped = stopped
            .commit(&chain.release)
            .map_err(|source| Halt::Failed(InjectError::Commit { tid, source }))?;
        // Giving up here ends only the waiting.
        let _ = (self.options.probe)(Point::Released);
        Ok(Release { tid, stopped, at, announce: announce_for(&status), chain, signal_mask })
    }

    fn reach(&self, point: Point) -> Result<(), Halt> {
        if (self.options.probe)(point) { Ok(()) } else { Err(Halt::Failed(InjectError::GivenUp(point))) }
    }

    fn denied(&self, tid: Tid, source: io::Error) -> InjectError {
        let tracer = self.process.task_status(tid).ok().and_then(|status| status.tracer);
        match tracer {
            Some(tracer) if tracer != 0 => {
                InjectError::Traced { pid: self.process.pid(), tracer: slackwater_base::Pid(tracer) }
            }
            _ => InjectError::Denied { pid: self.process.pid(), source },
        }
    }

    /// The registers to come back with: those of the stop, but with an interrupted wait about to be
    /// begun again.
    fn home(&self, tid: Tid, registers: &Registers, status: &Status) -> Result<Registers, Unsafe> {
        if !registers.is_64_bit() {
            return Err(Unsafe::Not64Bit);
        }
        if registers.is_single_stepped() {
            return Err(Unsafe::SingleStepped);
        }
        if status.seccomp == Some(1) {
            return Err(Unsafe::Strict);
        }
        if stop::signal_pending(status) {
            return Err(Unsafe::SignalPending);
        }
        let number = match registers.interrupted() {
            Interrupted::Nothing if self.is_about_to_restart(registers) => {
                // As if stopped in the call that `restart_syscall` is about to go on with.
                let behind = Registers { rip: registers.rip + 2, ..*registers };
                return self.reissue(&behind, self.number_in_code(&behind));
            }
            Interrupted::Nothing => {
                self.check_restartable_sequence(tid, registers)?;
                return Ok(*registers);
            }
            Interrupted::Restarts { number } | Interrupted::WouldReportEintr { number } => Some(number),
            Interrupted::RestartsUnnamed => self.number_in_code(registers),
            Interrupted::ReportsEintr => None,
        };
        self.reissue(registers, number)
    }

    /// The registers with which a thread stopped behind a `syscall` issues `number` once more.
    fn reissue(&self, registers: &Registers, number: Option<u64>) -> Result<Registers, Unsafe> {
        let home = registers.reissuing(number.ok_or(Unsafe::NotRestartable)?);
        if self.is_syscall(home.pc()) { Ok(home) } else { Err(Unsafe::NotRestartable) }
    }

    fn is_syscall(&self, at: Addr) -> bool {
        let mut instruction = [0; 2];
        let is_there = sys::read_memory(self.memory, at, &mut instruction).is_ok();
        is_there && instruction == SYSCALL_INSTRUCTION
    }

    /// Whether the kernel has let the thread go on with an interrupted wait, but it has not got
    /// there yet. `sigreturn` would make it forget what to go on with.
    fn is_about_to_restart(&self, registers: &Registers) -> bool {
        registers.rax as i64 == libc::SYS_restart_syscall && self.is_syscall(registers.pc())
    }

    /// The number of the call in progress from the program's own code, `mov $number,%eax; syscall`.
    fn number_in_code(&self, registers: &Registers) -> Option<u64> {
        const MOV_EAX: u8 = 0xb8;
        let mut bytes = [0; 7];
        sys::read_memory(self.memory, registers.pc().checked_sub(7)?, &mut bytes).ok()?;
        let number = u32::from_le_bytes(*bytes[1..].first_chunk()?);
        (bytes[0] == MOV_EAX && bytes[5..] == SYSCALL_INSTRUCTION && number < 1000).then_some(number.into())
    }

    /// A restartable sequence must not be left and resumed in the middle: the kernel would take our
    /// call for its end, and the rest would run on another processor's data.
    fn check_restartable_sequence(&self, tid: Tid, registers: &Registers) -> Result<(), Unsafe> {
        /// Offset of `rseq_cs` in `struct rseq` (include/uapi/linux/rseq.h).
        const CURRENT: u64 = 8;
        let area = sys::restartable_sequences(tid);
        if area.is_null() {
            return Ok(());
        }
        let mut current = [0; 8];
        // struct rseq_cs: version and flags, start, length, where to go instead.
        let mut sequence = [0; 24];
        let inside = Unsafe::RestartableSequence;
        sys::read_memory(self.memory, area + CURRENT, &mut current).map_err(|_| inside.clone())?;
        let at = Addr(u64::from_le_bytes(current));
        if at.is_null() {
            return Ok(());
        }
        sys::read_memory(self.memory, at, &mut sequence).map_err(|_| inside.clone())?;
        let [_, start, len] =
            [0, 8, 16].map(|from| sequence[from..].first_chunk().copied().map_or(0, u64::from_le_bytes));
        if registers.rip.wrapping_sub(start) < len { Err(inside) } else { Ok(()) }
    }

    fn signal_mask(&self, tid: Tid, home: &Registers) -> Result<u64, Unsafe> {
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
        sys::signal_mask(tid).map_err(|_| Unsafe::Ended)
    }

    fn prove_and_build(
        &self,
        registers: &Registers,
        home: &Registers,
        signal_mask: u64,
        vector_state: &[u8],
        status: &Status,
    ) -> Result<Chain, Unsafe> {
        let mapping = self.code.mapping_at(registers.sp()).ok_or(Unsafe::StackUnknown)?;
        let mapping = &self.code.mappings()[mapping];
        let bounds = stack::bounds(registers, mapping, self.memory).ok_or(Unsafe::StackUnknown)?;
        let words = Words::new(self.memory, registers.sp(), bounds.end);
        prove(self.code, registers, bounds, &words, self.forbidden)?;

        let announce = announce_for(status);
        if announce == Announce::Silent && signal_mask | UNBLOCKABLE == u64::MAX {
            return Err(Unsafe::MaskFull);
        }
        // Random, so that no leftover of the program's own can be mistaken for it.
        let sentinel = RandomState::new().hash_one(registers.rsp) | 1;
        let home = Home { registers: home, signal_mask, vector_state };
        let left_bytes = registers.sp().offset_from(bounds.start);
        let short = Unsafe::StackShort { left_bytes };
        let chain = Chain::build(self.gadgets, self.steps, self.blob, home, sentinel, announce)
            .ok_or_else(|| short.clone())?;
        let lowest = chain.base.checked_sub(STACK_FOR_CALLS).ok_or_else(|| short.clone())?;
        if lowest < bounds.start || !stack::is_accessible(self.memory, Range::new(lowest, registers.sp())) {
            return Err(short);
        }
        Ok(chain)
    }
}

fn announce_for(status: &Status) -> Announce {
    if status.seccomp == Some(0) { Announce::Kernel } else { Announce::Silent }
}

impl Release {
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

const _: () = assert!(STACK_FOR_CALLS.is_multiple_of(PAGE_SIZE));
