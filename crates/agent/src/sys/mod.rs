//! The kernel, libc, and memory that is not ours, one function per call.
//!
//! Invariants: no policy; nothing here allocates or locks, and `errno` stays as it was.
#![allow(unsafe_code)] // system calls, and reading the program's own memory

mod map;
mod tls;

pub(crate) use map::{PRIVATE_WORDS, map_private, map_shared, shared_length};
pub(crate) use tls::{ThreadLocal, thread_local, thread_pointer};

use core::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// Runs `work` and leaves `errno` as it was.
pub(crate) fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: always valid, of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let result = work();
    // SAFETY: as above; the location of a thread's errno does not change.
    unsafe { *errno = saved };
    result
}

/// Sets `errno`.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: always valid, of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = value };
}

/// Ends the process.
#[cfg(all(not(test), panic = "abort"))]
pub(crate) fn abort() -> ! {
    // SAFETY: no precondition.
    unsafe { libc::abort() }
}

/// This process.
pub(crate) fn pid() -> u32 {
    // SAFETY: no precondition.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    pid as u32
}

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

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps, or less if interrupted.
pub(crate) fn sleep_us(microseconds: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(microseconds) * 1000 };
    // SAFETY: reads `time`, writes nothing.
    keeping_errno(|| unsafe {
        libc::syscall(
            libc::SYS_clock_nanosleep,
            libc::CLOCK_MONOTONIC,
            0,
            &raw const time,
            core::ptr::null_mut::<libc::timespec>(),
        )
    });
}

/// The value of an environment variable; none in a setuid program.
pub(crate) fn environment(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` is NUL-terminated.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    // SAFETY: a string of the environment, which lives as long as nobody sets the variable: it is read by
    // the constructor alone.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// The path of the program that runs; empty on failure.
pub(crate) fn executable(into: &mut [u8]) -> &[u8] {
    // SAFETY: the path is NUL-terminated, `into` writable for its length.
    let n_bytes = keeping_errno(|| unsafe {
        libc::syscall(
            libc::SYS_readlinkat,
            libc::AT_FDCWD,
            c"/proc/self/exe".as_ptr(),
            into.as_mut_ptr(),
            into.len(),
        )
    });
    &into[..usize::try_from(n_bytes).unwrap_or(0).min(into.len())]
}

/// What `name` means to the whole program.
pub(crate) fn global_symbol(name: &CStr) -> Option<u64> {
    // SAFETY: `name` is NUL-terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address as u64)
}

/// What the next library defines as `name`; 0 if none does.
pub(crate) fn next_symbol(name: &CStr) -> usize {
    // SAFETY: `name` is NUL-terminated.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
}

/// Python's own text of its version; for releases that have no symbol for it. It may be asked for before
/// Python is initialised.
pub(crate) fn python_version_text() -> Option<&'static [u8]> {
    let function = global_symbol(c"Py_GetVersion")?;
    // SAFETY: this is what Python defines by that name, in every release.
    let function: extern "C" fn() -> *const c_char = unsafe { core::mem::transmute(function) };
    let text = function();
    // SAFETY: a static, NUL-terminated buffer.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
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
