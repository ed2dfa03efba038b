//! The calling thread's `errno`: it belongs to the program.
#![allow(unsafe_code)] // libc's variable

use core::ffi::c_int;

/// Runs `work` and leaves `errno` as it was.
#[inline]
pub fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
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
pub fn set_errno(value: c_int) {
    // SAFETY: always valid, of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = value };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_in_between_is_not_seen() {
        set_errno(libc::EAGAIN);
        // SAFETY: a descriptor that nobody has.
        assert_eq!(keeping_errno(|| unsafe { libc::close(-1) }), -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN));
    }
}
