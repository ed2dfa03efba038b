//! Memory: what is shared with the collector, and our own.

use core::ffi::CStr;
use core::sync::atomic::AtomicU64;

use super::keeping_errno;

/// Words of our own memory.
pub(crate) const PRIVATE_WORDS: usize = crate::process::WORDS;

// `syscall` takes whole words: of a shorter argument on the stack the upper half would be anything.
const ANYWHERE: usize = 0;
const FROM_THE_START: usize = 0;

/// Bytes of the file at `path`; `None` when it cannot be opened.
pub(crate) fn shared_length(path: &CStr) -> Option<(i32, usize)> {
    keeping_errno(|| {
        // SAFETY: `path` is NUL-terminated.
        let descriptor = unsafe {
            libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0)
        } as i32;
        if descriptor < 0 {
            return None;
        }
        // SAFETY: an open descriptor; the call writes no memory.
        let n_bytes = unsafe { libc::syscall(libc::SYS_lseek, descriptor, 0, libc::SEEK_END) };
        Some((descriptor, usize::try_from(n_bytes).unwrap_or(0)))
    })
}

/// Maps the whole of an open file, and closes it. It is never unmapped.
pub(crate) fn map_shared(descriptor: i32, n_bytes: usize) -> Option<&'static [AtomicU64]> {
    keeping_errno(|| {
        // SAFETY: a new mapping, where the kernel likes.
        let address = unsafe {
            libc::syscall(
                libc::SYS_mmap,
                ANYWHERE,
                n_bytes,
                i64::from(libc::PROT_READ | libc::PROT_WRITE),
                i64::from(libc::MAP_SHARED),
                i64::from(descriptor),
                FROM_THE_START,
            )
        };
        // SAFETY: the descriptor is ours, and is not used again.
        unsafe { libc::syscall(libc::SYS_close, descriptor) };
        if address <= 0 {
            return None;
        }
        // SAFETY: mapped for good, page-aligned, at least this long; only ever used as atomic words. The
        // collector has sealed the file against shrinking.
        Some(unsafe { core::slice::from_raw_parts(address as *const AtomicU64, n_bytes / 8) })
    })
}

/// Zeroed memory that is zeroed again in each forked child; `None` where the kernel cannot do that
/// (before Linux 4.14).
pub(crate) fn map_private(n_words: usize) -> Option<&'static [AtomicU64]> {
    keeping_errno(|| {
        // SAFETY: a new mapping, where the kernel likes.
        let address = unsafe {
            libc::syscall(
                libc::SYS_mmap,
                ANYWHERE,
                n_words * 8,
                i64::from(libc::PROT_READ | libc::PROT_WRITE),
                i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE),
                -1_i64,
                FROM_THE_START,
            )
        };
        if address <= 0 {
            return None;
        }
        // SAFETY: the mapping made above.
        let wiped = unsafe { libc::syscall(libc::SYS_madvise, address, n_words * 8, libc::MADV_WIPEONFORK) };
        if wiped != 0 {
            // SAFETY: nobody has the mapping yet.
            unsafe { libc::syscall(libc::SYS_munmap, address, n_words * 8) };
            return None;
        }
        // SAFETY: mapped for good, page-aligned, this long; only ever used as atomic words.
        Some(unsafe { core::slice::from_raw_parts(address as *const AtomicU64, n_words) })
    })
}
