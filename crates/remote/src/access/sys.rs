//! The one system call that only the checks need.
#![allow(unsafe_code, reason = "ptrace has no safe wrapper in rustix")]

use std::ptr;

/// `PTRACE_PEEKUSER` of a process that we do not trace: refused with ESRCH by the kernel before it
/// looks at the process, and by a seccomp filter before that.
pub(super) fn peek_untraced(pid: i32) -> Option<i32> {
    let nowhere = ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes two plain numbers, both 0 here. Of us it writes nothing: glibc's
    // wrapper gives it a word of its own for the result. We trace nobody in this process, and were
    // we to, the request would only read a register.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, pid, nowhere, nowhere) };
    if word < 0 { std::io::Error::last_os_error().raw_os_error() } else { None }
}
