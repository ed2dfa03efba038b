//! Why something could not be learnt from /proc.

use std::io;
use std::path::PathBuf;

use slackwater_base::Pid;

/// Why something could not be learnt from /proc.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcError {
    /// No process has the pid, or the one that had it has exited and was reaped.
    #[error("there is no process {pid}")]
    Gone {
        /// The pid asked for.
        pid: Pid,
    },
    /// The process has exited and waits for its parent: it has no memory any more.
    #[error("process {pid} is a zombie: it has exited and its parent has not collected it")]
    Zombie {
        /// Its pid.
        pid: Pid,
    },
    /// A thread of the kernel: it has no memory of its own.
    #[error("process {pid} is a kernel thread: it has no memory of its own")]
    KernelThread {
        /// Its pid.
        pid: Pid,
    },
    /// The kernel refuses.
    #[error("reading {} is not permitted", path.display())]
    Denied {
        /// Whose file it is.
        pid: Pid,
        /// The file.
        path: PathBuf,
    },
    /// The process is there, the file is not: this kernel does not have it.
    #[error("this kernel has no {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Any other refusal to open a file.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file that was opened cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file does not say what its format promises.
    #[error("cannot make sense of {}: {expected}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
}

impl ProcError {
    /// Whether the process no longer runs: it is gone, or a zombie.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Zombie { .. })
    }

    /// Whether the kernel refused for want of a right.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// What the user can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Gone { .. } => Some("it may have been restarted; look it up again, or use --name"),
            Self::Zombie { .. } => Some("look at its parent instead: it does not collect its children"),
            Self::KernelThread { .. } => Some("choose a user process"),
            Self::Denied { .. } => Some("run as root or as the process's own user, with CAP_SYS_PTRACE"),
            _ => None,
        }
    }
}
