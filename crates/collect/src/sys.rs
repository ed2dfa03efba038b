//! The shared mapping.
//!
//! Invariant: the file is sealed against changes of its size before anybody else can see it, so neither
//! side can be hurt by a mapping without a file behind it.
#![allow(unsafe_code)] // mapping memory

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::time::ClockId;

/// A sealed file in memory, mapped.
#[derive(Debug)]
pub(crate) struct Shared {
    file: OwnedFd,
    start: NonNull<AtomicU64>,
    n_words: usize,
}

// SAFETY: the words are atomic, and the mapping belongs to this value.
unsafe impl Send for Shared {}
// SAFETY: all that is reached through it is atomic words.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(n_words: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Self::of(rustix::fs::memfd_create("slackwater", flags)?, n_words)
    }

    /// Of an empty file in memory.
    pub(crate) fn of(file: OwnedFd, n_words: usize) -> io::Result<Self> {
        let n_bytes = n_words * 8;
        rustix::fs::ftruncate(&file, n_bytes as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping where the kernel likes; nothing of ours is replaced.
        let start = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                n_bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { file, start, n_words })
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped as long as `self` lives, page-aligned, this long, and zeroed at first; used as
        // atomic words by everybody. The seals keep the file from shrinking below the mapping.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.n_words) }
    }

    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`; no slice of it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.n_words * 8) };
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    ns(ClockId::Monotonic)
}

/// Nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    ns(ClockId::Realtime)
}

fn ns(clock: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
