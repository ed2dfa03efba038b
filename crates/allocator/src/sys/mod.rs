//! The kernel and libc, one function per call.
//!
//! Invariants: no policy; nothing here allocates, locks or writes `errno` unless its name says so, so
//! that the first question of jemalloc, asked inside the first `malloc`, may be answered from here.
#![allow(unsafe_code)] // system calls

mod clocks;
mod exec;
mod file;
mod memory;
mod thread;

pub(crate) use clocks::{minor_faults, process_cpu_ns, thread_cpu_ns};
pub(crate) use exec::{
    Spawn, environment, environment_pointer, execve, find_real_functions, real_execvpe, real_posix_spawn,
    remove_from_environment,
};
pub(crate) use file::{File, each_in_path, is_own_executable, n_links, read_file, write_error};
pub(crate) use memory::{give_back, make_usable, refuse_huge_pages, reserve};
pub(crate) use thread::{at_fork, is_last_thread, leave_descriptors, let_others_run, name_thread, spawn};

pub(crate) use slackwater_inside::{
    executable, global_symbol, keeping_errno, monotonic_ns, pid, python_version, set_errno, sleep_ns,
};

use core::ffi::{CStr, c_char, c_void};

/// The minor version of the libc that runs, if it is glibc 2.
pub(crate) fn libc_minor_version() -> Option<u32> {
    // SAFETY: returns a static string.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: as above, NUL-terminated.
    let version = unsafe { CStr::from_ptr(version) };
    let minor = version.to_bytes().strip_prefix(b"2.")?;
    let n_digits = minor.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&minor[..n_digits]).ok()?.parse().ok()
}

/// Processors that this process may run on.
pub(crate) fn allowed_processors() -> u32 {
    let mut mask = [0_u64; 128];
    // SAFETY: `mask` is writable for the size given.
    let n_bytes = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr())
    });
    let n_words = usize::try_from(n_bytes).unwrap_or(0) / 8;
    mask.iter().take(n_words).map(|word| word.count_ones()).sum::<u32>().max(1)
}

unsafe extern "C" {
    /// The real `secure_getenv`: the linker gives the plain name to `options`.
    fn __real_secure_getenv(name: *const c_char) -> *mut c_char;
}

/// The value of an environment variable, or NULL; NULL too in a setuid program.
pub(crate) fn secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: callers pass NUL-terminated names.
    unsafe { __real_secure_getenv(name) }
}

/// Takes a block from whatever is the program's malloc, and gives it back.
pub(crate) fn allocate_and_free(n_bytes: usize) {
    let (Some(malloc), Some(free)) = (global_symbol(c"malloc"), global_symbol(c"free")) else { return };
    // SAFETY: the program's `malloc` has malloc(3)'s type, whoever defines it.
    let malloc: extern "C" fn(usize) -> *mut c_void = unsafe { core::mem::transmute(malloc) };
    // SAFETY: likewise.
    let free: extern "C" fn(*mut c_void) = unsafe { core::mem::transmute(free) };
    // The compiler knows what malloc and free are, but not that it is them.
    free(core::hint::black_box(malloc(n_bytes)));
}
