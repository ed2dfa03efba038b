//! A live process, held open.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::PidfdFlags;
use slackwater_base::{Addr, Pid, Tid};
use slackwater_memory::{Mapping, MemoryError};
use slackwater_procfs::{Filesystem, Mount, Mounts, ProcError, Process, Root};

use crate::backing::BackingFiles;
use crate::modules::ElfFiles;
use crate::page_states::PageStates;
use crate::transfer::Transfer;
use crate::{Denial, Frames, RemoteError};

/// A live process, held open: a pid that is reused, and a program that replaces this one by exec,
/// are answered [`MemoryError::Gone`].
#[derive(Debug)]
pub struct Live {
    pub(crate) process: Process,
    pidfd: Option<OwnedFd>,
    maps: File,
    mounts: Mounts,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) states: PageStates,
    pub(crate) transfer: Transfer,
    pub(crate) files: BackingFiles,
    elf_files: ElfFiles,
    pidfd_errno: Option<i32>,
}

impl Live {
    /// Opens a process on its own: no frame is counted yet.
    ///
    /// # Errors
    /// [`RemoteError`], with gone, zombie, kernel thread and not permitted told apart.
    pub fn open(root: &Root, pid: Pid) -> Result<Self, RemoteError> {
        Self::open_sharing(root, pid, Arc::new(Frames::new()))
    }

    /// Opens a process of a service, in which `frames` have been counted so far.
    ///
    /// # Errors
    /// As [`Live::open`].
    pub fn open_sharing(root: &Root, pid: Pid, frames: Arc<Frames>) -> Result<Self, RemoteError> {
        // First the handle that the kernel ties to the process, then everything else.
        let (pidfd, pidfd_errno) = if root.is_host() { open_pidfd(pid)? } else { (None, None) };
        let process = root.process(pid)?;
        process.require_memory()?;
        let mounts = process.mounts();
        // Each of these files stays with the program that runs when it is opened. The list of
        // mappings is opened first and read last: if it still has any, no exec came in between.
        let maps = process.open("maps")?;
        let pagemap = process.open("pagemap")?;
        let memory = match process.open("mem") {
            Ok(memory) => Ok(memory),
            Err(ProcError::Denied { .. }) => Err(Errno::ACCESS.raw_os_error()),
            Err(error) => return Err(error.into()),
        };
        let mut live = Self {
            states: PageStates::new(pagemap, frames, hugetlb_devices(&mounts)),
            transfer: Transfer::new(memory, root.is_host().then_some(pid)),
            process,
            pidfd,
            maps,
            mounts,
            mappings: Vec::new(),
            files: BackingFiles::default(),
            elf_files: ElfFiles::default(),
            pidfd_errno,
        };
        live.refresh()?;
        Ok(live)
    }

    /// Reads the mappings again.
    ///
    /// # Errors
    /// [`RemoteError::Replaced`] after an exec; else as [`Live::open`]. The mappings are then as
    /// they were.
    pub fn refresh(&mut self) -> Result<(), RemoteError> {
        let path = || self.process.path().join("maps");
        self.maps.seek(SeekFrom::Start(0)).map_err(|source| ProcError::Read { path: path(), source })?;
        match self.process.read_maps(&self.maps, &self.mounts) {
            Ok(mappings) => {
                self.mappings = mappings;
                self.files.clear();
                self.elf_files.forget_places();
                Ok(())
            }
            Err(ProcError::Gone { pid }) if self.process.require_memory().is_ok() => {
                Err(RemoteError::Replaced { pid })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why memory is [`MemoryError::Gone`]: exited, or replaced by exec. `None` while it is there.
    pub fn end(&self) -> Option<RemoteError> {
        if self.require_alive() != Err(MemoryError::Gone) {
            return None;
        }
        Some(match self.process.require_memory() {
            Ok(()) => RemoteError::Replaced { pid: self.pid() },
            Err(error) => error.into(),
        })
    }

    /// Its id.
    pub const fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Its files in /proc.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) const fn elf_files(&self) -> &ElfFiles {
        &self.elf_files
    }

    /// Its pidfd; `None` where the kernel has none (before 5.3) or refuses it.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(OwnedFd::as_fd)
    }

    /// The ids of its threads, ascending.
    ///
    /// # Errors
    /// As [`Live::open`].
    pub fn threads(&self) -> Result<Vec<Tid>, RemoteError> {
        Ok(self.process.tasks()?)
    }

    /// Whether pages shared with other processes of the service can be told: it takes frame numbers,
    /// and so CAP_SYS_ADMIN. Where they cannot, only PSS splits them.
    pub fn sees_frames(&self) -> bool {
        self.states.see_frames()
    }

    /// The calls that were refused and done without, or in another way.
    pub fn denied(&self) -> Vec<Denial> {
        let pidfd = self.pidfd_errno.map(|errno| Denial { call: "pidfd_open", errno });
        pidfd.into_iter().chain(self.transfer.denied()).collect()
    }

    /// What makes the page states less exact here than they could be, in words for the user.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.denied().iter().map(Denial::to_string).collect();
        if !self.sees_frames() {
            notes.push(
                "page frame numbers are hidden without CAP_SYS_ADMIN: pages shared after fork cannot be \
                 told apart"
                    .to_owned(),
            );
        }
        if !self.states.tell_zero_pages() {
            notes.push(
                "this kernel cannot tell zero pages from pages shared after fork: both count as resident"
                    .to_owned(),
            );
        }
        notes
    }

    /// Gives back the shared frames that were counted for this process: what was learnt of it is not
    /// used. Frames that others were told are counted stay so for them.
    pub fn abandon(mut self) {
        self.states.abandon();
    }

    /// Fails when the address space is gone.
    pub(crate) fn require_alive(&self) -> Result<(), MemoryError> {
        self.states.require_alive(self.mappings.first().map_or(Addr(0), |mapping| mapping.range.start))
    }
}

/// The devices of mounted hugetlbfs.
fn hugetlb_devices(mounts: &Mounts) -> Vec<u64> {
    let is_hugetlb = |mount: &&Mount| mount.filesystem == Filesystem::Hugetlb;
    mounts.iter().filter(is_hugetlb).map(|mount| mount.device).collect()
}

/// A pidfd, or why there is none. Only a missing process is an error: all else works without.
fn open_pidfd(pid: Pid) -> Result<(Option<OwnedFd>, Option<i32>), RemoteError> {
    let gone = || ProcError::Gone { pid };
    // `from_raw` takes negative numbers for a fault of its caller.
    let raw = rustix::process::Pid::from_raw(pid.0.max(0)).ok_or_else(gone)?;
    match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((Some(pidfd), None)),
        Err(Errno::SRCH) => Err(gone().into()),
        Err(errno) => Ok((None, Some(errno.raw_os_error()))),
    }
}
