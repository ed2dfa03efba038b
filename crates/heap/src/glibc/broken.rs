//! Why one pass over an arena came to nothing.

use slackwater_base::Addr;
use slackwater_memory::MemoryError;

/// Why one pass over an arena came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Broken {
    /// What lies there cannot be. Either the target changed it meanwhile, or it is corrupt.
    #[error("{what} at {at}")]
    Torn {
        /// Where.
        at: Addr,
        /// What lies there.
        what: &'static str,
    },
    /// The books do not add up: the same two causes.
    #[error("{0}")]
    Unbalanced(&'static str),
    /// Memory that glibc describes in a way that is not read here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Reading.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Broken {
    pub(super) const fn torn(at: Addr, what: &'static str) -> Self {
        Self::Torn { at, what }
    }

    /// Whether another pass may fare better.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Torn { .. } | Self::Unbalanced(_) => true,
            Self::Memory(error) => matches!(error, MemoryError::Unmapped(_)),
            Self::Unsupported(_) => false,
        }
    }

    /// Whether the whole target is out of reach.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Memory(MemoryError::Denied | MemoryError::Gone))
    }
}
