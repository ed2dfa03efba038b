//! Files: read, never written, but for standard error.
//!
//! They are opened by the system call itself: the libc function may be another preload's, and allocate.

use super::keeping_errno;
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;

/// An open file, closed when dropped.
#[derive(Debug)]
pub(crate) struct File(c_int);

impl File {
    /// Opens for reading, without waiting for a writer where it is a pipe, or taking a terminal; the
    /// descriptor does not pass to programs that the process starts.
    pub(crate) fn open(path: &CStr) -> Option<Self> {
        // SAFETY: `path` is NUL-terminated; the call writes no memory.
        let descriptor = keeping_errno(|| unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY,
                0,
            )
        });
        (descriptor >= 0).then_some(Self(descriptor as c_int))
    }

    /// Reads from the beginning, as much as fits and comes at once; empty on failure.
    pub(crate) fn read<'a>(&self, into: &'a mut [u8]) -> &'a [u8] {
        // SAFETY: `into` is writable for its length.
        let n_bytes = keeping_errno(|| unsafe {
            libc::syscall(libc::SYS_pread64, self.0, into.as_mut_ptr(), into.len(), 0)
        });
        &into[..usize::try_from(n_bytes).unwrap_or(0).min(into.len())]
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours, and is not used again.
        keeping_errno(|| unsafe { libc::syscall(libc::SYS_close, self.0) });
    }
}

/// Reads a small file; empty on failure.
pub(crate) fn read_file<'a>(path: &CStr, into: &'a mut [u8]) -> &'a [u8] {
    match File::open(path) {
        Some(file) => file.read(into),
        None => &[],
    }
}

/// Writes to standard error what fits in one call.
pub(crate) fn write_error(text: &[u8]) {
    // SAFETY: `text` is readable for its length.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len()) });
}

/// Whether `path` is the file that this process runs.
pub(crate) fn is_own_executable(path: &CStr) -> bool {
    identity(c"/proc/self/exe").is_some_and(|own| identity(path) == Some(own))
}

/// Device and inode of a file.
fn identity(path: &CStr) -> Option<(u64, u64)> {
    status(path).map(|status| (status.st_dev, status.st_ino))
}

/// Links to a file.
pub(crate) fn n_links(path: &CStr) -> Option<u64> {
    status(path).map(|status| status.st_nlink)
}

fn status(path: &CStr) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` is NUL-terminated, `status` writable; on x86-64 the kernel's layout is libc's.
    let failed = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path.as_ptr(), status.as_mut_ptr(), 0)
    });
    // SAFETY: plain integers, zeroed before.
    let status = unsafe { status.assume_init() };
    (failed == 0).then_some(status)
}

/// Calls `look` with each path that `PATH` makes of `name`, until it returns `false`.
pub(crate) fn each_in_path(name: &[u8], mut look: impl FnMut(&CStr) -> bool) {
    // SAFETY: the name is NUL-terminated.
    let path = unsafe { libc::getenv(c"PATH".as_ptr()) };
    if path.is_null() {
        return;
    }
    // SAFETY: a string of the environment.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    for folder in path.split(|&byte| byte == b':') {
        let mut text = [0; 1024];
        let len = folder.len() + 1 + name.len();
        // One byte stays 0.
        if folder.is_empty() || len >= text.len() {
            continue;
        }
        text[..folder.len()].copy_from_slice(folder);
        text[folder.len()] = b'/';
        text[folder.len() + 1..len].copy_from_slice(name);
        if let Ok(candidate) = CStr::from_bytes_until_nul(&text)
            && !look(candidate)
        {
            return;
        }
    }
}
