//! Why a process cannot be read, and what was refused on the way.

use std::fmt;

use slackwater_base::Pid;
use slackwater_procfs::ProcError;

/// Why a process cannot be read (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// /proc says so: gone, zombie, kernel thread, not permitted.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// The process runs another program than the one that was opened.
    #[error("process {pid} has become another program")]
    Replaced {
        /// Its pid, which exec keeps.
        pid: Pid,
    },
}

impl RemoteError {
    /// Whether what was opened no longer exists: exited, or replaced by exec.
    pub const fn is_gone(&self) -> bool {
        match self {
            Self::Proc(error) => error.is_gone(),
            Self::Replaced { .. } => true,
        }
    }

    /// Whether the kernel refused for want of a right.
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Proc(error) if error.is_denied())
    }

    /// What the user can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Proc(error) => error.hint(),
            Self::Replaced { .. } => Some("look again: the new program has the same pid"),
        }
    }
}

/// A call that the kernel refused and that was done without, or in another way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The call or file: `process_vm_readv`, `/proc/PID/mem`.
    pub call: &'static str,
    /// The kernel's errno.
    pub errno: i32,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was refused: {}", self.call, std::io::Error::from_raw_os_error(self.errno))
    }
}
