//! Why glibc's heap could not be read at all. What can be half read becomes a gap instead.

use std::path::PathBuf;

use slackwater_memory::MemoryError;

use crate::GlibcVersion;

/// Why glibc's heap could not be read at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlibcError {
    /// Two copies of glibc hand out memory, as after `dlmopen` or in a static plugin host.
    #[error("two C libraries hand out memory: {} and {}", first.display(), second.display())]
    SeveralLibcs {
        /// The one at the lower address.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The library states a release whose structures are not described here.
    #[error("glibc {version} in {} is not known", path.display())]
    UnknownRelease {
        /// What it states.
        version: GlibcVersion,
        /// The nearest release that is known.
        nearest: GlibcVersion,
        /// The library.
        path: PathBuf,
    },
    /// An arena was found, but no known release lays out its other structures so.
    #[error("the malloc settings of {} were not found", path.display())]
    UnknownLayout {
        /// The library or static executable.
        path: PathBuf,
    },
    /// Reading the target's memory.
    #[error("the target's memory could not be read")]
    Memory(#[from] MemoryError),
}

impl GlibcError {
    /// What happens now, and what to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SeveralLibcs { .. } => {
                Some("the heaps of both are left in the anonymous class; no split is possible".into())
            }
            Self::UnknownRelease { nearest, .. } => {
                Some(format!("the nearest known release is {nearest}; its layout is not assumed"))
            }
            Self::UnknownLayout { .. } => {
                Some("a patched or very new glibc; the class figures of /proc still hold".into())
            }
            Self::Memory(_) => None,
        }
    }
}
