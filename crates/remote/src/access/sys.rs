//! Three system calls that have no safe wrapper here, each so that it cannot touch the target.
//!
//! Invariant: one function per call; the answer is the errno, `None` for success; no policy.
#![allow(unsafe_code, reason = "system calls")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<ScanArguments>() == 96);

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;

fn last_errno() -> Option<i32> {
    std::io::Error::last_os_error().raw_os_error()
}

/// `process_vm_readv` of the one byte at address 0, where nothing can be mapped: the kernel checks
/// the permission first and then finds no page.
pub(super) fn read_null(pid: i32) -> Option<i32> {
    let mut byte = 0_u8;
    let ours = libc::iovec { iov_base: ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let theirs = libc::iovec { iov_base: ptr::null_mut(), iov_len: 1 };
    // SAFETY: `ours` and `theirs` are one valid iovec each and outlive the call; the only memory of
    // ours that the call writes is `byte`, one byte long as `ours` says. `theirs` is an address in
    // another process, which the kernel only reads.
    let read = unsafe { libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0) };
    if read < 0 { last_errno() } else { None }
}

/// `PTRACE_PEEKUSER` of a process that we do not trace: refused with ESRCH by the kernel before it
/// looks at the process, and by a seccomp filter before that.
pub(super) fn peek_untraced(pid: i32) -> Option<i32> {
    let nowhere = ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes two plain numbers, both 0 here. Of us it writes nothing: glibc's
    // wrapper gives it a word of its own for the result. We trace nobody in this process, and were
    // we to, the request would only read a register.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, pid, nowhere, nowhere) };
    if word < 0 { last_errno() } else { None }
}

/// The `PAGEMAP_SCAN` ioctl over an empty range.
pub(super) fn scan_nothing(pagemap: BorrowedFd<'_>) -> Option<i32> {
    let mut arguments = ScanArguments { size: size_of::<ScanArguments>() as u64, ..Default::default() };
    // SAFETY: the kernel reads and writes `arguments`, which is laid out as it expects (asserted
    // above) and lives until the call returns; `vec` is null with length 0, so nothing else is
    // written. On a file that is no pagemap the request is refused.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
    if found < 0 { last_errno() } else { None }
}
