//! What can go wrong while recording.

use std::io;

/// Why recording cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The kernel gives no memory that can be shared.
    #[error("cannot make the memory that is shared with the recorded processes")]
    Share(#[source] io::Error),
    /// The capture cannot be written: the disk is full, for example.
    #[error("cannot write the capture")]
    Write(#[source] io::Error),
    /// The sizes that were asked for make no session.
    #[error("cannot lay out the shared memory: the number of slots must be a power of two")]
    Layout,
}

impl CollectError {
    /// What to try.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Share(_) => "memfd_create must be allowed: see vm.memfd_noexec and the seccomp profile",
            Self::Write(_) => {
                "what was written before can be read; the recorded processes were not disturbed"
            }
            Self::Layout => "this is a bug of slackwater",
        }
    }
}
