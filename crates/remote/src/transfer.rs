//! Bytes of resident pages: `process_vm_readv` for many at once, /proc/PID/mem for few and where
//! the call is refused or would do harm.
//!
//! Invariant: an anonymous page that other processes map too is never read by `process_vm_readv`.
//! That call pins pages, and since Linux 5.19 pinning such a page gives the target a copy of its
//! own (`gup_must_unshare` of mm/internal.h): reading the workers of a pre-forking server would undo
//! all their sharing. /proc/PID/mem only takes a reference, and copies nothing in the target.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;
use slackwater_base::{Addr, PAGE_SIZE, Pid};
use slackwater_memory::MemoryError;

use crate::page_states::memory_error;
use crate::{Denial, sys};

/// Up to this many bytes go through /proc/PID/mem, whose handle cannot meet another program.
const FEW_BYTES: usize = 4 * PAGE_SIZE as usize;

/// The ways to a process's bytes.
#[derive(Debug)]
pub(crate) struct Transfer {
    memory: Option<File>,
    /// `None` where pids of the /proc tree are not those of system calls.
    pid: Option<Pid>,
    memory_errno: AtomicI32,
    readv_errno: AtomicI32,
}

/// How far a transfer came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Everything was copied.
    Done,
    /// This byte of the buffer could not be had.
    Stopped(usize, MemoryError),
}

/// What may be done to the pages that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    /// A file's, or mapped by nobody else: pinning them changes nothing.
    Pinnable,
    /// Anonymous, and perhaps mapped by others.
    Shared,
}

impl Transfer {
    pub(crate) fn new(memory: Result<File, i32>, pid: Option<Pid>) -> Self {
        let errno = memory.as_ref().err().copied().unwrap_or(0);
        Self { memory: memory.ok(), pid, memory_errno: AtomicI32::new(errno), readv_errno: AtomicI32::new(0) }
    }

    /// The calls that were refused.
    pub(crate) fn denied(&self) -> impl Iterator<Item = Denial> {
        [("/proc/PID/mem", &self.memory_errno), ("process_vm_readv", &self.readv_errno)]
            .into_iter()
            .map(|(call, errno)| Denial { call, errno: errno.load(Ordering::Relaxed) })
            .filter(|denial| denial.errno != 0)
    }

    /// Whether copying `bytes` goes by pid: then the caller must check afterwards that the process
    /// is still the one it means.
    pub(crate) fn goes_by_pid(&self, pages: Pages, bytes: usize) -> bool {
        self.pid.is_some()
            && pages == Pages::Pinnable
            && self.readv_errno.load(Ordering::Relaxed) == 0
            && (bytes > FEW_BYTES || self.memory.is_none())
    }

    /// Copies pieces of the target's memory: `from..to` of `buffer` from `base + from`.
    pub(crate) fn copy(
        &self,
        base: Addr,
        pages: Pages,
        pieces: &[std::ops::Range<usize>],
        buffer: &mut [u8],
    ) -> Progress {
        let bytes = pieces.iter().map(ExactSizeIterator::len).sum();
        let mut done = 0;
        if let Some(pid) = self.pid.filter(|_| self.goes_by_pid(pages, bytes)) {
            match sys::process_vm_readv(pid, base, pieces, buffer) {
                Ok(count) => done = count,
                Err(Errno::SRCH) => return Progress::Stopped(pieces[0].start, MemoryError::Gone),
                Err(Errno::FAULT) => {}
                Err(errno) => self.readv_errno.store(errno.raw_os_error(), Ordering::Relaxed),
            }
        }
        if done == bytes { Progress::Done } else { self.copy_by_file(base, pieces, done, buffer) }
    }

    /// Copies through /proc/PID/mem, which also reads what the target itself may not, from the byte
    /// on that `skip` bytes of the pieces precede.
    fn copy_by_file(
        &self,
        base: Addr,
        pieces: &[std::ops::Range<usize>],
        mut skip: usize,
        buffer: &mut [u8],
    ) -> Progress {
        for piece in pieces {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            let mut from = piece.start + skipped;
            while from < piece.end {
                let addr = base + from as u64;
                match self.read_some(addr, &mut buffer[from..piece.end]) {
                    Ok(count) => from += count,
                    Err(error) => return Progress::Stopped(from, error),
                }
            }
        }
        Progress::Done
    }

    fn read_some(&self, addr: Addr, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        let memory = self.memory.as_ref().ok_or(MemoryError::Denied)?;
        loop {
            match memory.read_at(buffer, addr.get()) {
                // The file answers nothing once its address space is gone.
                Ok(0) => return Err(MemoryError::Gone),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(memory_error(addr, &error)),
            }
        }
    }
}
