//! A live process, held open.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::PidfdFlags;
use slackwater_base::{Addr, PAGE_SIZE, Pid, Range, Tid};
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, Page, WINDOW_BYTES, Window};
use slackwater_procfs::{Entry, Mounts, ProcError, Process, Root};

use crate::backing::BackingFiles;
use crate::modules::ElfFiles;
use crate::page_states::{BATCH_PAGES, PageStates, holds_devices};
use crate::transfer::{Pages, Progress, Transfer};
use crate::{Denial, Frames, RemoteError};

/// A live process, held open: a pid that is reused, and a program that replaces this one by exec,
/// are answered [`MemoryError::Gone`].
#[derive(Debug)]
pub struct Live {
    process: Process,
    pidfd: Option<OwnedFd>,
    maps: File,
    mounts: Mounts,
    mappings: Vec<Mapping>,
    states: PageStates,
    transfer: Transfer,
    files: BackingFiles,
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
            states: PageStates::new(pagemap, frames),
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
    fn require_alive(&self) -> Result<(), MemoryError> {
        self.states.require_alive(self.mappings.first().map_or(Addr(0), |mapping| mapping.range.start))
    }

    /// Copies the bytes at `addr` within one batch of pages.
    fn read_batch(&self, addr: Addr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let first = addr.align_down(PAGE_SIZE);
        let count =
            ((addr + buffer.len() as u64).align_up(PAGE_SIZE).offset_from(first) / PAGE_SIZE) as usize;
        let mut entries = [0; BATCH_PAGES * 8];
        let mut answered = 0;
        let mut sources = [Source::Unmapped; BATCH_PAGES];
        for (index, entry) in self.states.entries(first, count, &mut entries)?.enumerate() {
            sources[index] = self.source(first + index as u64 * PAGE_SIZE, entry);
            answered = index + 1;
        }
        if answered < count {
            self.require_alive()?;
        }
        let mut page = 0;
        for run in sources[..count].chunk_by(|one, next| one == next) {
            let from = (first + page as u64 * PAGE_SIZE).max(addr);
            page += run.len();
            let to = (first + page as u64 * PAGE_SIZE).min(addr + buffer.len() as u64);
            let part = from.offset_from(addr) as usize..to.offset_from(addr) as usize;
            self.read_run(run[0], from, addr, part, buffer)?;
        }
        Ok(())
    }

    fn read_run(
        &self,
        source: Source,
        from: Addr,
        base: Addr,
        part: std::ops::Range<usize>,
        buffer: &mut [u8],
    ) -> Result<(), MemoryError> {
        match source {
            Source::Memory(pages) => {
                let bytes = part.len();
                match self.transfer.copy(base, pages, std::slice::from_ref(&part), buffer) {
                    Progress::Done if self.transfer.goes_by_pid(pages, bytes) => self.require_alive(),
                    Progress::Done => Ok(()),
                    Progress::Stopped(_, error) => Err(error),
                }
            }
            Source::Zeros => {
                buffer[part].fill(0);
                Ok(())
            }
            Source::File(index) => {
                self.files.read(&self.process, &self.mappings[index], from, &mut buffer[part])
            }
            Source::Swapped => Err(MemoryError::Swapped(from)),
            Source::Refused => Err(MemoryError::Failed { addr: from, errno: Errno::IO.raw_os_error() }),
            Source::Unmapped => Err(MemoryError::Unmapped(from)),
        }
    }

    /// Where the bytes of one page are to be had without making the kernel map it.
    fn source(&self, addr: Addr, entry: Entry) -> Source {
        let after = self.mappings.partition_point(|mapping| mapping.range.start <= addr);
        let index = after.wrapping_sub(1);
        let mapping = self.mappings.get(index).filter(|mapping| mapping.range.contains(addr));
        let is_device = mapping.is_some_and(holds_devices);
        if entry.is_present() {
            // Reading a device's memory can change the device.
            return match entry.is_ambiguous() {
                true if is_device => Source::Refused,
                true => Source::Memory(Pages::Shared),
                false => Source::Memory(Pages::Pinnable),
            };
        }
        if entry.is_swapped() {
            return Source::Swapped;
        }
        match mapping.map(|mapping| &mapping.kind) {
            None => Source::Unmapped,
            Some(Kind::Anonymous { .. } | Kind::Heap | Kind::Stack) => Source::Zeros,
            Some(Kind::File { .. } | Kind::Shmem { .. }) => Source::File(index),
            Some(Kind::Special) => Source::Refused,
        }
    }
}

/// Where the bytes of a page come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A frame is mapped: reading it in the right way changes nothing.
    Memory(Pages),
    /// Anonymous and absent.
    Zeros,
    /// Absent, and the mapping of this index has a file.
    File(usize),
    /// On swap.
    Swapped,
    /// Mapped, and not ours to touch.
    Refused,
    /// Nothing there.
    Unmapped,
}

impl Memory for Live {
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn pages(&self, range: Range, pages: &mut Vec<Page>) -> Result<(), MemoryError> {
        self.states.append(range.align_out(PAGE_SIZE), &self.mappings, pages)
    }

    fn occupied(&self, range: Range) -> Result<Vec<Range>, MemoryError> {
        // A few windows cost less to look at than to ask about.
        if range.len() <= 4 * WINDOW_BYTES {
            return Ok(vec![range]);
        }
        let occupied = self.states.occupied(range);
        // An address space that is gone answers like an empty one.
        self.require_alive()?;
        Ok(occupied)
    }

    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), MemoryError> {
        addr.checked_add(buf.len() as u64).ok_or(MemoryError::Unmapped(addr))?;
        let mut done = 0;
        while done < buf.len() {
            let from = addr + done as u64;
            let end = from.align_down(PAGE_SIZE).get().saturating_add(BATCH_PAGES as u64 * PAGE_SIZE);
            let len = ((end - from.get()) as usize).min(buf.len() - done);
            self.read_batch(from, &mut buf[done..done + len])?;
            done += len;
        }
        Ok(())
    }

    fn window(&self, range: Range, window: &mut Window) -> Result<(), MemoryError> {
        let (range, pages, bytes) = window.reset(range);
        self.states.append(range, &self.mappings, pages)?;
        let mut by_pid = false;
        for class in [Pages::Pinnable, Pages::Shared] {
            let mut from = 0;
            loop {
                let pieces = resident_pieces(pages, from, class);
                let total = pieces.iter().map(ExactSizeIterator::len).sum();
                by_pid |= self.transfer.goes_by_pid(class, total);
                let stopped = match self.transfer.copy(range.start, class, &pieces, bytes) {
                    Progress::Done => break,
                    Progress::Stopped(_, error @ (MemoryError::Denied | MemoryError::Gone)) => {
                        return Err(error);
                    }
                    Progress::Stopped(at, _) => at,
                };
                // This page went away, or cannot be read at all: shown as absent, the rest goes on.
                let page = stopped / PAGE_SIZE as usize;
                pages[page] = Page::ABSENT;
                bytes[page * PAGE_SIZE as usize..][..PAGE_SIZE as usize].fill(0);
                from = page + 1;
            }
        }
        if by_pid {
            self.require_alive()?;
        }
        Ok(())
    }
}

/// The runs of resident pages of one class from page `from` on, as byte ranges.
fn resident_pieces(pages: &[Page], from: usize, class: Pages) -> Vec<std::ops::Range<usize>> {
    let class_of = |page: &Page| match page.is_resident() {
        false => None,
        true if page.has(Page::FILE) || page.has(Page::EXCLUSIVE) => Some(Pages::Pinnable),
        true => Some(Pages::Shared),
    };
    let bytes = PAGE_SIZE as usize;
    let mut pieces = Vec::new();
    let mut at = from;
    for run in pages[from..].chunk_by(|one, next| class_of(one) == class_of(next)) {
        if class_of(&run[0]) == Some(class) {
            pieces.push(at * bytes..(at + run.len()) * bytes);
        }
        at += run.len();
    }
    pieces
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
