//! The one place that opens /proc.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use slackwater_base::Pid;

use crate::{Mounts, ProcError, Process};

/// A /proc tree: the host's, or one that a test has built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The host's /proc.
    pub fn host() -> Self {
        Self::at("/proc")
    }

    /// A tree elsewhere. Its pids need not be those of our own namespace, so nothing but its files
    /// may be asked about them.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether pids of this tree are those that system calls take.
    pub fn is_host(&self) -> bool {
        self.path == Path::new("/proc")
    }

    /// Where the tree is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All process ids, ascending. Some may be gone when they are opened.
    ///
    /// # Errors
    /// When the tree cannot be listed.
    pub fn pids(&self) -> Result<Vec<Pid>, ProcError> {
        let open = |source| ProcError::Open { path: self.path.clone(), source };
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(open)? {
            let name = entry.map_err(open)?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse().ok()).filter(|pid| *pid > 0).map(Pid));
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// Takes hold of a process.
    ///
    /// # Errors
    /// [`ProcError::Gone`] when there is none of this id.
    pub fn process(&self, pid: Pid) -> Result<Process, ProcError> {
        if pid.0 <= 0 {
            return Err(ProcError::Gone { pid });
        }
        let path = self.path.join(pid.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|errno| match errno {
                rustix::io::Errno::NOENT | rustix::io::Errno::SRCH => ProcError::Gone { pid },
                rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => {
                    ProcError::Denied { pid, path: path.clone() }
                }
                errno => ProcError::Open { path: path.clone(), source: errno.into() },
            })?;
        Process::from_directory(pid, directory, path)
    }

    /// The mounts that we ourselves see.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn own_mounts(&self) -> Result<Mounts, ProcError> {
        let path = self.path.join("self/mountinfo");
        let file =
            std::fs::File::open(&path).map_err(|source| ProcError::Open { path: path.clone(), source })?;
        Mounts::read(file).map_err(|source| ProcError::Read { path, source })
    }

    /// A value of /proc/sys, like `kernel/yama/ptrace_scope`; `None` where this kernel has none.
    pub fn sysctl(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path.join("sys").join(name)).ok()?;
        Some(text.trim().to_owned())
    }
}
