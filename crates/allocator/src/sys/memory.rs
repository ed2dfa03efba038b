//! Address space: reserved, made usable, and its pages given back.

use super::keeping_errno;
use core::ffi::c_void;
use core::ptr::null_mut;

/// Addresses without memory behind them, from a multiple of `alignment` on.
pub(crate) fn reserve(n_bytes: usize, alignment: usize) -> Option<usize> {
    // SAFETY: a new mapping, where nothing else is.
    let start = keeping_errno(|| unsafe {
        libc::mmap(
            null_mut(),
            n_bytes + alignment,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    });
    (start != libc::MAP_FAILED).then(|| start.addr().next_multiple_of(alignment))
}

/// Makes reserved addresses readable and writable; whether it worked.
///
/// # Safety
/// They were reserved, and nobody uses them.
pub(crate) unsafe fn make_usable(start: usize, n_bytes: usize) -> bool {
    // SAFETY: by the contract.
    keeping_errno(|| unsafe {
        libc::mprotect(start as *mut c_void, n_bytes, libc::PROT_READ | libc::PROT_WRITE) == 0
    })
}

/// Gives pages back to the kernel; they read as zeros afterwards. Whether it worked.
///
/// # Safety
/// They are private and anonymous, and what is in them is not needed.
pub(crate) unsafe fn give_back(start: usize, n_bytes: usize) -> bool {
    // SAFETY: by the contract.
    keeping_errno(|| unsafe { libc::madvise(start as *mut c_void, n_bytes, libc::MADV_DONTNEED) == 0 })
}

/// Asks the kernel to make no huge pages there: it would fill with them what was given back.
pub(crate) fn refuse_huge_pages(start: usize, n_bytes: usize) {
    // SAFETY: it changes no byte.
    keeping_errno(|| unsafe { libc::madvise(start as *mut c_void, n_bytes, libc::MADV_NOHUGEPAGE) });
}
