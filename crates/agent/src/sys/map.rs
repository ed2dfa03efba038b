//! Memory: what is shared with the collector, and our own.

use core::ffi::CStr;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use super::keeping_errno;

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = PAGE_BYTES / 8;
const PAGE_BYTES: usize = 4096;

// `syscall` takes whole words: of a shorter argument on the stack the upper half would be anything.
const ANYWHERE: usize = 0;
const FROM_THE_START: usize = 0;

/// Opens the file at `path`; `None` when it cannot be opened.
pub(crate) fn open_shared(path: &CStr) -> Option<i32> {
    // SAFETY: `path` is NUL-terminated.
    let descriptor = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0)
    });
    i32::try_from(descriptor).ok().filter(|&descriptor| descriptor >= 0)
}

/// Bytes of an open file; 0 for what is none.
pub(crate) fn shared_length(descriptor: i32) -> usize {
    // SAFETY: the call writes no memory.
    let n_bytes =
        keeping_errno(|| unsafe { libc::syscall(libc::SYS_lseek, descriptor, 0_i64, libc::SEEK_END) });
    usize::try_from(n_bytes).unwrap_or(0)
}

/// The first words of an open file; `None` where it has not so many.
pub(crate) fn first_words<const N: usize>(descriptor: i32) -> Option<[u64; N]> {
    let mut words = [0; N];
    let n_bytes = size_of_val(&words);
    // SAFETY: as many bytes as there are in `words`, whose every value is one.
    let n_read = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_pread64, descriptor, words.as_mut_ptr(), n_bytes, FROM_THE_START)
    });
    (n_read == n_bytes as i64).then_some(words)
}

/// What is shared, and our own.
type Mapped = (&'static [AtomicU64], &'static [AtomicU64]);

/// Maps the whole of an open file, which is closed, and directly behind it zeroed memory of our own, which is
/// zeroed again in each forked child. Neither is ever unmapped. From outside our own memory, which has no
/// name, is told by the named one in front of it. `None` without room for it, or where the kernel cannot do
/// that (before Linux 4.14).
pub(crate) fn map_session(descriptor: i32, n_shared_bytes: usize, n_words: usize) -> Option<Mapped> {
    let n_own_bytes = n_words * 8;
    let distance = n_shared_bytes.wrapping_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1);
    let both = map_anonymous(ANYWHERE, distance + n_own_bytes, libc::MAP_PRIVATE);
    let is_shared = both.is_some_and(|both| share(both, n_shared_bytes, descriptor));
    // SAFETY: the descriptor is ours, and is not used again.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_close, descriptor) });
    let both = both?;
    let own = both + distance;
    // Its tables are sparse: of a huge page most would be in vain. Where there are none the kernel refuses.
    let _ = advise(own, n_own_bytes, libc::MADV_NOHUGEPAGE);
    if !is_shared || !advise(own, n_own_bytes, libc::MADV_WIPEONFORK) {
        // SAFETY: mapped above, and nobody else has the addresses yet.
        keeping_errno(|| unsafe { libc::syscall(libc::SYS_munmap, both, distance + n_own_bytes) });
        return None;
    }
    // SAFETY: mapped for good, page-aligned, this long; only ever used as atomic words. The collector has
    // sealed the file against shrinking.
    let shared = unsafe { core::slice::from_raw_parts(both as *const AtomicU64, n_shared_bytes / 8) };
    // SAFETY: as above, without a file.
    let own = unsafe { core::slice::from_raw_parts(own as *const AtomicU64, n_words) };
    Some((shared, own))
}

/// Tells the kernel how memory of our own is to be treated, none of which is in use; whether it agrees.
fn advise(at: usize, n_bytes: usize, advice: i32) -> bool {
    // SAFETY: memory of our own, which holds nothing yet.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_madvise, at, n_bytes, i64::from(advice)) }) == 0
}

/// Maps an open file over memory of our own; whether that worked.
fn share(at: usize, n_bytes: usize, descriptor: i32) -> bool {
    map(at, n_bytes, libc::MAP_SHARED | libc::MAP_FIXED, descriptor) == Some(at)
}

/// Puts a value where it stays for good, also in forked children; `None` without memory for it.
pub(crate) fn kept<T>(value: T) -> Option<&'static T> {
    let address = map_anonymous(ANYWHERE, size_of::<T>(), libc::MAP_PRIVATE)?;
    // SAFETY: a new mapping, page-aligned and at least as long as the value.
    unsafe { (address as *mut T).write(value) };
    // SAFETY: written above, never unmapped, and nobody else has the address.
    Some(unsafe { &*(address as *const T) })
}

/// Gives back what a part of our own memory holds: it is zero afterwards. In whole pages.
pub(crate) fn empty_private(words: &[AtomicU64]) {
    // SAFETY: our own memory, only ever used as atomic words, of which zero is one.
    keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_madvise, words.as_ptr(), size_of_val(words), libc::MADV_DONTNEED)
    });
}

/// Puts memory of our own, zeroed, where memory was that is shared with the collector: who still writes
/// there writes to nobody. Where the kernel refuses, it stays shared.
pub(crate) fn empty_shared(words: &[AtomicU64]) {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    let _ = map_anonymous(words.as_ptr() as usize, size_of_val(words), flags);
}

fn map_anonymous(at: usize, n_bytes: usize, flags: i32) -> Option<usize> {
    map(at, n_bytes, flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
}

fn map(at: usize, n_bytes: usize, flags: i32, descriptor: i32) -> Option<usize> {
    // SAFETY: a new mapping where the kernel likes, or in place of one of ours that was made for this, or that
    // is used as atomic words only, of which zero is one.
    let address = keeping_errno(|| unsafe {
        libc::syscall(
            libc::SYS_mmap,
            at,
            n_bytes,
            i64::from(libc::PROT_READ | libc::PROT_WRITE),
            i64::from(flags),
            i64::from(descriptor),
            FROM_THE_START,
        )
    });
    usize::try_from(address).ok().filter(|&address| address != 0)
}

/// Makes pages of a loaded object writable that its loader has made read-only; whether that worked.
pub(crate) fn make_writable(pages: &Range<u64>) -> bool {
    protect(pages, libc::PROT_READ | libc::PROT_WRITE)
}

/// Makes them read-only again.
pub(crate) fn make_read_only(pages: &Range<u64>) {
    protect(pages, libc::PROT_READ);
}

fn protect(pages: &Range<u64>, protection: i32) -> bool {
    let n_bytes = pages.end - pages.start;
    // SAFETY: pages of a loaded object's data, which stay readable; what they hold is not changed.
    keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_mprotect, pages.start, n_bytes, i64::from(protection))
    }) == 0
}
