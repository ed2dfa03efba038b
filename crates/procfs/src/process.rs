//! One process, held by a handle on its directory.
//!
//! Invariant: every file is opened relative to that handle. The kernel ties it to the process, not
//! to the number: once the process is reaped, nothing can be opened through it any more.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use slackwater_base::{Pid, Tid};
use slackwater_memory::Mapping;

use crate::parse::auxv;
use crate::{
    MapsError, Membership, MemoryGroup, Mounts, ProcError, Root, SmapsReader, Stat, State, Status, Syscall,
    Usage,
};

/// Most bytes read of a small file (stat, status, cgroup).
const SMALL_BYTES: u64 = 256 << 10;
/// Most bytes read of a command line or an environment; the kernel lets a program have 6 MiB.
const ARGUMENT_BYTES: u64 = 8 << 20;

/// A process, or what is left of one.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    directory: OwnedFd,
    path: PathBuf,
    start_ticks: u64,
}

/// Identity of a namespace: equal for two processes that share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Namespace {
    /// Device of the namespace's file.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
}

impl Process {
    pub(crate) fn from_directory(pid: Pid, directory: OwnedFd, path: PathBuf) -> Result<Self, ProcError> {
        let mut process = Self { pid, directory, path, start_ticks: 0 };
        process.start_ticks = process.stat()?.start_ticks;
        Ok(process)
    }

    /// Its id.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// When it started, clock ticks after boot. Together with the pid, its identity.
    pub const fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The handle on its directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Whether the process that was opened still exists, as a zombie perhaps.
    pub fn is_same(&self) -> bool {
        self.stat().is_ok_and(|stat| stat.start_ticks == self.start_ticks)
    }

    /// Fails when the process has no memory (any more), with the reason.
    ///
    /// # Errors
    /// [`ProcError::Gone`], [`ProcError::Zombie`], [`ProcError::KernelThread`].
    pub fn require_memory(&self) -> Result<(), ProcError> {
        let stat = self.stat()?;
        if stat.start_ticks != self.start_ticks {
            Err(ProcError::Gone { pid: self.pid })
        } else if stat.state == State::Zombie {
            Err(ProcError::Zombie { pid: self.pid })
        } else if stat.is_kernel_thread() {
            Err(ProcError::KernelThread { pid: self.pid })
        } else {
            Ok(())
        }
    }

    /// Opens a file of its directory for reading.
    ///
    /// # Errors
    /// Told apart: gone, zombie, kernel thread, not permitted, not in this kernel.
    pub fn open(&self, name: &str) -> Result<File, ProcError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat(&self.directory, name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| self.refusal(name, errno))
    }

    fn refusal(&self, name: &str, errno: Errno) -> ProcError {
        let path = self.path.join(name);
        match errno {
            Errno::ACCESS | Errno::PERM => ProcError::Denied { pid: self.pid, path },
            Errno::NOENT | Errno::SRCH if name == "stat" => ProcError::Gone { pid: self.pid },
            Errno::NOENT | Errno::SRCH => self.require_memory().err().unwrap_or(ProcError::Missing { path }),
            errno => ProcError::Open { path, source: errno.into() },
        }
    }

    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, ProcError> {
        let mut bytes = Vec::new();
        match self.open(name)?.take(most).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(match source.raw_os_error().map(Errno::from_raw_os_error) {
                Some(errno @ (Errno::SRCH | Errno::ACCESS | Errno::PERM)) => self.refusal(name, errno),
                _ => ProcError::Read { path: self.path.join(name), source },
            }),
        }
    }

    /// Its stat file.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn stat(&self) -> Result<Stat, ProcError> {
        Stat::parse(&self.read("stat", SMALL_BYTES)?).ok_or_else(|| ProcError::Parse {
            path: self.path.join("stat"),
            expected: "a name in parentheses and 22 fields",
        })
    }

    /// Its status file.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn status(&self) -> Result<Status, ProcError> {
        Ok(Status::parse(&self.read("status", SMALL_BYTES)?))
    }

    /// Its mounts; empty where they cannot be read.
    pub fn mounts(&self) -> Mounts {
        self.open("mountinfo").ok().and_then(|file| Mounts::read(file).ok()).unwrap_or_default()
    }

    /// Its mappings, sorted and disjoint.
    ///
    /// # Errors
    /// As [`Process::open`]; a process without memory is never an empty list.
    pub fn maps(&self) -> Result<Vec<Mapping>, ProcError> {
        self.read_maps(self.open("maps")?, &self.mounts())
    }

    /// Its mappings from a maps file opened earlier, which stays with the program that ran then.
    ///
    /// # Errors
    /// As [`Process::maps`]; [`ProcError::Gone`] when that program no longer runs.
    pub fn read_maps(&self, maps: impl Read, mounts: &Mounts) -> Result<Vec<Mapping>, ProcError> {
        let path = || self.path.join("maps");
        let mappings = crate::read_maps(maps, mounts).map_err(|error| match error {
            MapsError::Read(source) if source.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                ProcError::Gone { pid: self.pid }
            }
            MapsError::Read(source) => ProcError::Read { path: path(), source },
            MapsError::Line { .. } => ProcError::Parse { path: path(), expected: "one mapping per line" },
            MapsError::TooMany => {
                ProcError::Parse { path: path(), expected: "no more mappings than a process can have" }
            }
        })?;
        if mappings.is_empty() {
            self.require_memory()?;
            return Err(ProcError::Gone { pid: self.pid });
        }
        Ok(mappings)
    }

    /// The figures of each of its mappings, streamed.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn smaps(&self) -> Result<SmapsReader<File>, ProcError> {
        Ok(SmapsReader::new(self.open("smaps")?))
    }

    /// The figures of all its mappings together: from smaps_rollup, or summed where the kernel has
    /// none (before 4.14).
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn usage(&self) -> Result<Usage, ProcError> {
        let (name, mut reader) = match self.open("smaps_rollup") {
            Ok(file) => ("smaps_rollup", SmapsReader::new(file)),
            Err(ProcError::Missing { .. }) => ("smaps", self.smaps()?),
            Err(error) => return Err(error),
        };
        let failed = |source: std::io::Error| match source.raw_os_error() {
            Some(code) if code == Errno::SRCH.raw_os_error() => {
                self.require_memory().err().unwrap_or(ProcError::Gone { pid: self.pid })
            }
            _ => ProcError::Read { path: self.path.join(name), source },
        };
        let mut total = reader.next().transpose().map_err(failed)?.unwrap_or_default();
        for usage in reader {
            total.add(&usage.map_err(failed)?);
        }
        if total.range.is_empty() {
            self.require_memory()?;
            return Err(ProcError::Gone { pid: self.pid });
        }
        Ok(total)
    }

    /// The ids of its threads, ascending.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn tasks(&self) -> Result<Vec<Tid>, ProcError> {
        Ok(self.numbers_in("task")?.into_iter().map(Tid).collect())
    }

    /// Its open descriptors, ascending.
    ///
    /// # Errors
    /// As [`Process::open`]; needs the right to trace.
    pub fn descriptors(&self) -> Result<Vec<u32>, ProcError> {
        self.numbers_in("fd")
    }

    /// The names in a directory that are numbers, ascending.
    fn numbers_in<T: FromStr + Ord>(&self, name: &str) -> Result<Vec<T>, ProcError> {
        let failed = |errno| self.refusal(name, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.directory, name, flags, Mode::empty()).map_err(failed)?;
        let mut numbers = Vec::new();
        for entry in rustix::fs::Dir::new(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            numbers.extend(entry.file_name().to_str().ok().and_then(|name| name.parse().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The status file of one of its threads.
    ///
    /// # Errors
    /// As [`Process::open`]; [`ProcError::Missing`] when the thread has ended.
    pub fn task_status(&self, tid: Tid) -> Result<Status, ProcError> {
        Ok(Status::parse(&self.read(&format!("task/{tid}/status"), SMALL_BYTES)?))
    }

    /// The stat file of one of its threads.
    ///
    /// # Errors
    /// As [`Process::task_status`].
    pub fn task_stat(&self, tid: Tid) -> Result<Stat, ProcError> {
        let name = format!("task/{tid}/stat");
        Stat::parse(&self.read(&name, SMALL_BYTES)?).ok_or_else(|| ProcError::Parse {
            path: self.path.join(name),
            expected: "a name in parentheses and 22 fields",
        })
    }

    /// What one of its threads is doing.
    ///
    /// # Errors
    /// As [`Process::task_status`]; needs the right to trace.
    pub fn task_syscall(&self, tid: Tid) -> Result<Syscall, ProcError> {
        let name = format!("task/{tid}/syscall");
        Syscall::parse(&self.read(&name, SMALL_BYTES)?).ok_or_else(|| ProcError::Parse {
            path: self.path.join(name),
            expected: "'running' or a call with its arguments",
        })
    }

    /// Its command line. Empty for a program that has wiped it.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn command_line(&self) -> Result<Vec<OsString>, ProcError> {
        let bytes = self.read("cmdline", ARGUMENT_BYTES)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        Ok(text.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect())
    }

    /// The value of one variable of the environment that it was started with.
    ///
    /// One by name, never all: environments hold secrets.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn environment_variable(&self, name: &str) -> Result<Option<OsString>, ProcError> {
        let bytes = self.read("environ", ARGUMENT_BYTES)?;
        Ok(bytes.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(OsString::from_vec(value.to_vec()))
        }))
    }

    /// The variables of the environment that it was started with whose names begin with one of
    /// `prefixes`, in order; `None` when a title has been written over them all.
    ///
    /// Never all: environments hold secrets.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn environment_like(
        &self,
        prefixes: &[&str],
    ) -> Result<Option<Vec<(OsString, OsString)>>, ProcError> {
        let bytes = self.read("environ", ARGUMENT_BYTES)?;
        let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            Some((&entry[..equals], &entry[equals + 1..]))
        });
        let mut entries = entries.peekable();
        if entries.peek().is_none() && !bytes.is_empty() {
            return Ok(None);
        }
        let is_wanted = |name: &[u8]| prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()));
        let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let wanted = entries.filter(|(name, _)| is_wanted(name));
        Ok(Some(wanted.map(|(name, value)| (owned(name), owned(value))).collect()))
    }

    /// Whether it was started with more rights than its caller has, so that its loader ignores what the
    /// environment asks for; `None` when the kernel does not say.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn is_secure(&self) -> Result<Option<bool>, ProcError> {
        Ok(auxv::is_secure(&self.read("auxv", SMALL_BYTES)?))
    }

    /// The program it runs, as its mount namespace names it, without the ` (deleted)` mark.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn executable(&self) -> Result<PathBuf, ProcError> {
        let target = self.link("exe")?;
        Ok(match target.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
            Some(plain) => PathBuf::from(OsStr::from_bytes(plain)),
            None => target,
        })
    }

    /// Which namespace of `kind` (`pid`, `mnt`, `user`, `cgroup`) it is in.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn namespace(&self, kind: &str) -> Result<Namespace, ProcError> {
        let name = format!("ns/{kind}");
        let stat = rustix::fs::statat(&self.directory, &name, rustix::fs::AtFlags::empty())
            .map_err(|errno| self.refusal(&name, errno))?;
        Ok(Namespace { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Its cgroups.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn cgroups(&self) -> Result<Membership, ProcError> {
        Ok(Membership::parse(&self.read("cgroup", SMALL_BYTES)?))
    }

    /// Its group under the memory controller, when we can see it.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn memory_group(&self, root: &Root) -> Result<Option<MemoryGroup>, ProcError> {
        Ok(MemoryGroup::locate(&self.cgroups()?, &root.own_mounts()?))
    }

    /// Where its directory is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn link(&self, name: &str) -> Result<PathBuf, ProcError> {
        rustix::fs::readlinkat(&self.directory, name, Vec::new())
            .map(|target: CString| PathBuf::from(OsString::from_vec(target.into_bytes())))
            .map_err(|errno| self.refusal(name, errno))
    }
}
