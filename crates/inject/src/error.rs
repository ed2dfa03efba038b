//! Why a call was not made, or how it failed. "Refused" means that nothing was changed.

use std::io;

use slackwater_base::{Addr, Pid, Tid};
use slackwater_procfs::ProcError;

use crate::Point;

/// Why a call was not made. The target is as it was, [`InjectError::LeftMapped`] excepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The process cannot be looked at.
    #[error("cannot look at process {pid}")]
    Look {
        /// Its pid.
        pid: Pid,
        /// Why.
        source: ProcError,
    },
    /// The process has exited, or has become another program.
    #[error("process {pid} is gone")]
    Gone {
        /// Its pid.
        pid: Pid,
    },
    /// The process is stopped by job control, and is left so.
    #[error("process {pid} is stopped; it is not entered, and stays stopped")]
    Stopped {
        /// Its pid.
        pid: Pid,
    },
    /// Another program traces the process.
    #[error("process {pid} is traced by process {tracer}")]
    Traced {
        /// Its pid.
        pid: Pid,
        /// The tracer's.
        tracer: Pid,
    },
    /// The kernel does not let us trace it.
    #[error("tracing process {pid} is not permitted")]
    Denied {
        /// Its pid.
        pid: Pid,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something about the process is not supported.
    #[error("process {pid} cannot be entered: {what}")]
    Unsupported {
        /// Its pid.
        pid: Pid,
        /// What it is, or lacks.
        what: &'static str,
    },
    /// No thread was at a provably safe point before the deadline.
    #[error("no thread of process {pid} is at a safe point ({})", Reasons(.threads))]
    Refused {
        /// Its pid.
        pid: Pid,
        /// The last reason of each thread that was tried.
        threads: Vec<(Tid, Unsafe)>,
    },
    /// Another thread has held a lock of the dynamic loader all the time.
    #[error("thread {tid} of process {pid} holds a lock of the dynamic loader")]
    LoaderBusy {
        /// Its pid.
        pid: Pid,
        /// The thread.
        tid: Tid,
    },
    /// A file in memory could not be made there, or not be filled.
    #[error("process {pid} cannot be given a file in memory")]
    Hand {
        /// Its pid.
        pid: Pid,
        /// What the kernel said.
        source: io::Error,
    },
    /// The frames could not be written.
    #[error("cannot write below the stack of thread {tid}")]
    Write {
        /// The thread.
        tid: Tid,
        /// What the kernel said.
        source: io::Error,
    },
    /// The registers could not be set; they are then as they were.
    #[error("cannot set the registers of thread {tid}")]
    Commit {
        /// The thread.
        tid: Tid,
        /// What the kernel said.
        source: io::Error,
    },
    /// A page of ours, which nothing refers to, could not be unmapped again.
    #[error("an unused page of ours is left mapped at {at} in process {pid}")]
    LeftMapped {
        /// Its pid.
        pid: Pid,
        /// Where.
        at: Addr,
    },
    /// A caller's fail point said so.
    #[error("given up at {0:?}")]
    GivenUp(Point),
}

impl InjectError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Look { source, .. } => source.hint(),
            Self::Gone { .. } => Some("it may have been restarted; look it up again, or use --name"),
            Self::Stopped { .. } => Some("continue it first (kill -CONT), then try again"),
            Self::Traced { .. } => Some("end the debugger or tracer first, then try again"),
            Self::Denied { .. } => Some("run as root or with CAP_SYS_PTRACE; `doctor` names the check"),
            Self::LoaderBusy { .. } => {
                Some("it is loading a library, or looks through those that are loaded; try again")
            }
            Self::Refused { .. } => Some("nothing was changed; try again, perhaps with a longer deadline"),
            _ => None,
        }
    }
}

/// Why a thread is not at a point where a call could be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsafe {
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// It is in an uninterruptible wait, or did not stop in time.
    #[error("it does not stop")]
    Unstoppable,
    /// The proof took longer than the thread may be stopped.
    #[error("its stack could not be walked in the time it may be stopped")]
    TookTooLong,
    /// It was stopped by job control in between.
    #[error("it is stopped by job control")]
    JobControl,
    /// It runs 32-bit code.
    #[error("it runs 32-bit code")]
    Not64Bit,
    /// seccomp strict mode allows no `sigreturn` we could rely on.
    #[error("it is under seccomp strict mode")]
    Strict,
    /// It is under a seccomp filter that does not allow a system call that has to be made.
    #[error("its seccomp filter does not allow what has to be done")]
    Filtered,
    /// It is under a seccomp filter that we may not read.
    #[error("it is under a seccomp filter that cannot be read (that takes CAP_SYS_ADMIN)")]
    FilterUnknown,
    /// Someone single-steps it.
    #[error("it is being single-stepped")]
    SingleStepped,
    /// It is inside a restartable sequence, which a resumption would not restart.
    #[error("it is inside a restartable sequence")]
    RestartableSequence,
    /// Its signal mask may be a temporary one that this kernel does not tell from the real one.
    #[error("it waits under a temporary signal mask that this kernel does not show")]
    TemporaryMask,
    /// All signals are blocked, so the end of the call could not be seen.
    #[error("it blocks all signals")]
    MaskFull,
    /// The system call it is in would report an interruption.
    #[error("it is in a system call that cannot be begun again")]
    NotRestartable,
    /// A signal is about to be delivered.
    #[error("a signal is about to be delivered to it")]
    SignalPending,
    /// Where its stack begins and ends could not be told.
    #[error("the bounds of its stack are unknown")]
    StackUnknown,
    /// Too little stack is left.
    #[error("it has only {left_bytes} bytes of stack left")]
    StackShort {
        /// Bytes between the stack pointer and the end of the stack.
        left_bytes: u64,
    },
    /// Its vector state could not be read.
    #[error("its vector state is not understood")]
    VectorState,
    /// A frame is in memory that no known file backs, or in a file that cannot be read.
    #[error("code at {0} belongs to no readable file")]
    NoModule(Addr),
    /// A frame's file has no unwind information for it.
    #[error("code at {0} has no unwind information")]
    NoUnwindInfo(Addr),
    /// The unwind information asks for something that is not known.
    #[error("the caller of code at {0} cannot be told")]
    NoCaller(Addr),
    /// The stack does not end where threads begin.
    #[error("its stack does not end where threads begin, but at {0}")]
    NoRoot(Addr),
    /// It is inside a signal handler.
    #[error("it is inside a signal handler")]
    InSignalHandler,
    /// It is inside the dynamic loader.
    #[error("it is inside the dynamic loader")]
    InLoader,
    /// It is inside a function of the C library that is not known to hold no lock.
    #[error("it is inside {}", function.as_deref().unwrap_or("a function of the C library without a name"))]
    InLibc {
        /// The function's exported name.
        function: Option<String>,
    },
    /// It is inside the allocator that is to be called.
    #[error("it is inside the allocator")]
    InForbidden,
}

struct Reasons<'a>(&'a [(Tid, Unsafe)]);

impl std::fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 3;
        for (index, (tid, reason)) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}thread {tid}: {reason}")?;
        }
        match self.0.len() {
            0 => f.write_str("none could be tried in time"),
            many if many > SHOWN => write!(f, " and {} more", many - SHOWN),
            _ => Ok(()),
        }
    }
}
