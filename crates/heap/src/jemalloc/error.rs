//! Why our library's heap could not be read.

use slackwater_base::Addr;
use slackwater_layout::slackwater::BlockError;
use slackwater_memory::MemoryError;

/// Why our library's heap could not be read. Trouble with single extents is a gap, not an error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JemallocError {
    /// The block could not be read.
    #[error("cannot read the allocator's block at {addr}")]
    ReadBlock {
        /// Where it should be.
        addr: Addr,
        /// Why.
        source: MemoryError,
    },
    /// The block is none that is known.
    #[error("the allocator's block at {addr} is not understood")]
    Block {
        /// Where it is.
        addr: Addr,
        /// Why.
        source: BlockError,
    },
    /// The block was being written each time it was read.
    #[error("the allocator's block at {addr} changed each time it was read")]
    Torn {
        /// Where it is.
        addr: Addr,
    },
    /// The library has not published where its page map is.
    #[error("the allocator has not said yet where its page map is")]
    NoPageMap,
    /// The page map could not be read.
    #[error("cannot read the allocator's page map at {addr}")]
    ReadPageMap {
        /// What was read.
        addr: Addr,
        /// Why it failed.
        source: MemoryError,
    },
    /// The tables of arenas or of metadata blocks could not be read.
    #[error("cannot read the allocator's arenas at {addr}")]
    ReadArenas {
        /// What was read.
        addr: Addr,
        /// Why it failed.
        source: MemoryError,
    },
    /// What was read is not laid out as jemalloc 5.3.1 does it.
    #[error("the allocator's books at {addr} do not balance: {what}")]
    Unbalanced {
        /// The page map or the table of arenas.
        addr: Addr,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The pages of the target could not be asked about.
    #[error("cannot look at the allocator's pages")]
    Pages {
        /// Why.
        source: MemoryError,
    },
}

impl JemallocError {
    /// Why memory could not be read, when that is the cause.
    #[must_use]
    pub const fn memory(&self) -> Option<&MemoryError> {
        match self {
            Self::ReadBlock { source, .. }
            | Self::ReadPageMap { source, .. }
            | Self::ReadArenas { source, .. }
            | Self::Pages { source } => Some(source),
            _ => None,
        }
    }
}
