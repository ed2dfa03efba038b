//! Why pymalloc could not be walked at all.

use slackwater_base::Addr;
use slackwater_memory::MemoryError;

/// Why pymalloc could not be walked at all. Trouble with one arena is a gap, not an error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PymallocError {
    /// The variables or the table that list the arenas could not be read.
    #[error("cannot read the list of python's arenas at {addr}")]
    ReadState {
        /// What was read.
        addr: Addr,
        /// Why it failed.
        source: MemoryError,
    },
    /// They hold what pymalloc never writes.
    #[error("the list of python's arenas at {addr} is damaged: {cause}")]
    Damaged {
        /// Of the variable.
        addr: Addr,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// An arena could not be read because the target cannot be read (any more).
    #[error("cannot read the arena of python at {addr}")]
    ReadArena {
        /// Its start.
        addr: Addr,
        /// Why it failed.
        source: MemoryError,
    },
}
