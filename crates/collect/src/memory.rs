//! The memory that is shared with the recorded processes, and how they find it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use slackwater_capture::transport::{Session, Settings};
use slackwater_memory::Kind;
use slackwater_procfs::Process;

use crate::error::CollectError;
use crate::sys::Shared;

/// How the kernel shows memory that [`SharedMemory::new`] has made.
pub(crate) const SHOWN: &str = "/memfd:slackwater";

/// A session in memory of its own.
#[derive(Debug)]
pub struct SharedMemory {
    shared: Shared,
}

impl SharedMemory {
    /// Makes a session.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub fn new(settings: &Settings) -> Result<Self, CollectError> {
        let shared = Shared::new(Session::words(settings)).map_err(CollectError::Share)?;
        Session::create(shared.words(), settings).map_err(|_| CollectError::Layout)?;
        Ok(Self { shared })
    }

    /// Makes a session in an empty file in memory, which somebody else has made.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub fn adopt(file: &File, settings: &Settings) -> Result<Self, CollectError> {
        let file = file.try_clone().map_err(CollectError::Share)?;
        let shared = Shared::of(file.into(), Session::words(settings)).map_err(CollectError::Share)?;
        Session::create(shared.words(), settings).map_err(|_| CollectError::Layout)?;
        Ok(Self { shared })
    }

    /// Whether a process was handed the memory of a recording by who started it, or is a child of one that was.
    pub fn was_handed_to(process: &Process) -> bool {
        let is_ours = |kind: &Kind| matches!(kind, Kind::Shmem { name } if name == Path::new(SHOWN));
        process.maps().is_ok_and(|mappings| mappings.iter().any(|mapping| is_ours(&mapping.kind)))
    }

    /// The session.
    ///
    /// # Errors
    /// When one of the processes has destroyed it.
    pub fn session(&self) -> Result<Session<'_>, CollectError> {
        Session::open(self.shared.words()).map_err(|_| CollectError::Layout)
    }

    /// The path under which a process of the same user opens it: `SLACKWATER_RECORD`. It is good as long
    /// as this process lives.
    pub fn path(&self) -> PathBuf {
        let own = rustix::process::getpid().as_raw_nonzero();
        PathBuf::from(format!("/proc/{own}/fd/{}", self.shared.file().as_raw_fd()))
    }
}
