//! What can go wrong while recording.

use std::io;
use std::path::PathBuf;

use slackwater_base::Bytes;

/// Why recording cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The kernel gives no memory that can be shared.
    #[error("cannot make the memory that is shared with the recorded processes")]
    Share(#[source] io::Error),
    /// The thread that reads frame information cannot be started.
    #[error("cannot start the thread that makes native stacks readable")]
    Native(#[source] io::Error),
    /// The capture cannot be written: the disk is full, for example.
    #[error("cannot write the capture")]
    Write(#[source] io::Error),
    /// What cannot be left out of the capture is too much.
    #[error("what the capture must keep takes {needed} of {most}")]
    Full {
        /// What it takes.
        needed: Bytes,
        /// What it may take.
        most: Bytes,
    },
    /// The sizes that were asked for make no session.
    #[error("cannot lay out the shared memory: the number of slots must be a power of two")]
    Layout,
}

impl CollectError {
    /// What to try.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Share(_) => "memfd_create must be allowed: see vm.memfd_noexec and the seccomp profile",
            Self::Native(_) => "raise the limit on threads, or leave out --native",
            Self::Write(_) => {
                "what was written before can be read; the recorded processes were not disturbed"
            }
            Self::Full { .. } => {
                "give it a larger --max-size: code, and blocks that are not freed yet, are kept one by one"
            }
            Self::Layout => "this is a bug of slackwater",
        }
    }
}

/// Why a recording cannot be marked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// The file cannot be opened.
    #[error("cannot open {} for appending", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is some other file.
    #[error("{} is not a capture of slackwater", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
    },
    /// Its recorder is gone.
    #[error("nobody records into {} any more", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
    },
    /// The mark cannot be written.
    #[error("cannot write into {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MarkError {
    /// What to try.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Open { .. } => "captures belong to the user who records",
            Self::NotACapture { .. } => "name the file that `slackwater record` writes now",
            Self::Ended { .. } => "marks are for recordings under way",
            Self::Write { .. } => "is the disk full?",
        }
    }
}
