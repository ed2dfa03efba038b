//! The kernel, libc, and memory that is not ours, one function per call.
//!
//! Invariants: no policy; nothing here allocates or locks, and `errno` stays as it was.
#![allow(unsafe_code)] // system calls, and reading the program's own memory

mod map;
mod tls;

pub(crate) use map::{
    PAGE_WORDS, empty_private, empty_shared, first_words, kept, map_session, open_shared, shared_length,
};
#[cfg(not(test))]
pub(crate) use map::{make_read_only, make_writable};
pub(crate) use tls::{ThreadLocal, thread_local, thread_pointer};

pub(crate) use slackwater_inside::{
    environment, executable, global_symbol, keeping_errno, monotonic_ns, pid, python_version, sleep_ns,
};

use core::ffi::{CStr, c_int};

/// This thread.
pub(crate) fn tid() -> u32 {
    // SAFETY: no precondition.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    tid as u32
}

/// Whether a thread of this process is there.
pub(crate) fn is_thread(tid: u32) -> bool {
    // SAFETY: signal 0 is never delivered.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_tgkill, pid(), tid, 0) }) == 0
}

/// What the next library defines as `name`; 0 if none does.
pub(crate) fn next_symbol(name: &CStr) -> usize {
    // SAFETY: `name` is NUL-terminated.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
}

/// `CLOCK_REALTIME` so many milliseconds from now, for functions that wait until then.
#[cfg(not(test))]
pub(crate) fn wall_time_in(milliseconds: u64) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    let ns = time.tv_nsec as u64 + milliseconds * 1_000_000;
    time.tv_sec += (ns / 1_000_000_000) as i64;
    time.tv_nsec = (ns % 1_000_000_000) as i64;
    time
}

/// What this thread keeps under a key; the key must be below [`THREAD_KEYS`].
#[inline]
pub(crate) fn thread_specific(key: u32) -> u64 {
    // SAFETY: no key below the limit is out of bounds; one that is not in use has no value.
    unsafe { libc::pthread_getspecific(key) as u64 }
}

/// Keys that glibc has.
pub(crate) const THREAD_KEYS: u32 = 1024;

/// Whether the eight bytes at `addr` can be read.
pub(crate) fn is_readable(addr: u64) -> bool {
    const UNKNOWN: c_int = 0x7fff;
    // The kernel copies the set before it refuses the unknown way of changing the mask.
    // SAFETY: the mask is not changed; a bad address is an error.
    keeping_errno(|| {
        // SAFETY: as above.
        let result = unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, UNKNOWN, addr, core::ptr::null_mut::<u64>(), 8)
        };
        // SAFETY: always valid, of this thread.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        result == -1 && unsafe { *errno } == libc::EINVAL
    })
}

/// The same value, of which the compiler does not know that it is the same.
#[inline(always)]
pub(crate) fn opaque(mut value: u64) -> u64 {
    // SAFETY: no instruction.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}

/// Eight bytes of this process, from an address that may be anything.
pub(crate) fn read_u64_carefully(addr: u64) -> Option<u64> {
    if !addr.is_multiple_of(8) || !is_readable(addr) {
        return None;
    }
    // SAFETY: readable a moment ago. Another thread may have unmapped it since: then this faults, as any
    // use of what that thread freed would; the callers read only what CPython keeps alive for its running
    // frames, and come here at all because a layout might be wrong.
    Some(unsafe { read_u64(addr) })
}

/// Eight bytes of this process.
///
/// # Safety
/// `addr` must be readable and a multiple of 8.
#[inline]
pub(crate) unsafe fn read_u64(addr: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { (addr as *const u64).read_volatile() }
}

/// One byte of this process.
///
/// # Safety
/// `addr` must be readable.
#[inline]
pub(crate) unsafe fn read_u8(addr: u64) -> u8 {
    // SAFETY: the caller's.
    unsafe { (addr as *const u8).read_volatile() }
}
