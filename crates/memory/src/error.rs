//! Why bytes of the target could not be had.

use slackwater_base::Addr;

/// Why bytes of the target could not be had. None of these is a fault of the reader: the target is
/// alive and changes, or lies.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// No mapping covers the address (any more).
    #[error("no memory is mapped at {0}")]
    Unmapped(Addr),
    /// The page is on swap. Reading it would bring it back into memory, so it is not read.
    #[error("the page at {0} is swapped out")]
    Swapped(Addr),
    /// The kernel refuses access to the target's memory.
    #[error("reading memory is not permitted")]
    Denied,
    /// The target has exited, or has become another program.
    #[error("the process is gone")]
    Gone,
    /// Any other refusal of the kernel.
    #[error("reading memory at {addr} failed with errno {errno}")]
    Failed {
        /// First address asked for.
        addr: Addr,
        /// The kernel's errno.
        errno: i32,
    },
}
