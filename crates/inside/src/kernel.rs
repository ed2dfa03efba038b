//! The kernel, one function per call.
//!
//! System calls are made as such: libc's function of that name may be another preload's.
#![allow(unsafe_code)] // system calls

use crate::keeping_errno;

/// The process, in its innermost pid namespace; asked each time, so that it is right after any fork.
pub fn pid() -> u32 {
    // SAFETY: no precondition.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    pid as u32
}

/// `CLOCK_MONOTONIC`, nanoseconds.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps, or less if interrupted.
pub fn sleep_ns(nanoseconds: u64) {
    let time = libc::timespec {
        tv_sec: (nanoseconds / 1_000_000_000) as i64,
        tv_nsec: (nanoseconds % 1_000_000_000) as i64,
    };
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

/// The path of the program that runs; empty on failure.
pub fn executable(into: &mut [u8]) -> &[u8] {
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
    into.get(..usize::try_from(n_bytes).unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_off_where_there_is_no_more_room() {
        let mut path = [0; 4096];
        let path = executable(&mut path);
        assert_eq!(path, std::env::current_exe().unwrap_or_default().as_os_str().as_encoded_bytes());
        assert_eq!(executable(&mut [0; 5]), path.get(..5).unwrap_or_default());
    }
}
