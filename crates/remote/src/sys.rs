//! The system calls that need `unsafe`, one function each: errno returned, no policy.
#![allow(unsafe_code, reason = "process_vm_readv and an ioctl have no safe wrapper in rustix")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use slackwater_base::{Addr, Pid, Range};

/// Most pieces of one `process_vm_readv`: `UIO_MAXIOV` of include/uapi/linux/uio.h.
const MOST_PIECES: usize = 1024;

/// Copies pieces of another process's memory: piece `from..to` of `buffer` is filled from `base +
/// from`. Returns the bytes copied, counted over the pieces in order: fewer than asked when the
/// kernel met a page that it cannot read. At most 1024 pieces are looked at.
pub(crate) fn process_vm_readv(
    pid: Pid,
    base: Addr,
    pieces: &[std::ops::Range<usize>],
    buffer: &mut [u8],
) -> Result<usize, Errno> {
    let pieces = &pieces[..pieces.len().min(MOST_PIECES)];
    let mut local = Vec::with_capacity(pieces.len());
    let mut remote = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let part = &mut buffer[piece.clone()];
        local.push(libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
        let from = base.get().wrapping_add(piece.start as u64);
        remote.push(libc::iovec { iov_base: from as *mut libc::c_void, iov_len: piece.len() });
    }
    loop {
        // SAFETY: `local` describes parts of `buffer`, each taken by a checked slice of the one
        // exclusive borrow that lasts for the whole call; pieces that overlap would only be written
        // twice, by the kernel, as bytes. The kernel reads `remote` as numbers in the other address
        // space and answers EFAULT for what is not there. Both arrays outlive the call and their
        // lengths are at most MOST_PIECES.
        let count = unsafe {
            libc::process_vm_readv(
                pid.0,
                local.as_ptr(),
                local.len() as libc::c_ulong,
                remote.as_ptr(),
                remote.len() as libc::c_ulong,
                0,
            )
        };
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) => match Errno::from_io_error(&std::io::Error::last_os_error()) {
                Some(Errno::INTR) => continue,
                errno => return Err(errno.unwrap_or(Errno::IO)),
            },
        }
    }
}

/// Page categories of the PAGEMAP_SCAN ioctl, from include/uapi/linux/fs.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Categories(u64);

impl Categories {
    /// Mapped, or on swap.
    pub(crate) const OCCUPIED: Self = Self(1 << 3 | 1 << 4);
    /// A zero page is mapped.
    pub(crate) const ZERO_PAGE: Self = Self(1 << 5);
}

/// One answer of PAGEMAP_SCAN: `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of include/uapi/linux/fs.h (Linux 6.7).
#[repr(C)]
struct ScanArgument {
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

const _: () = assert!(size_of::<ScanArgument>() == 96 && size_of::<Region>() == 24);

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;

/// Finds the pages of `range` that are in any of `wanted`, as regions in ascending order, at most
/// `most_pages` of them (0 for no limit). Returns how many regions were filled in, and where the walk
/// ended: before the end of `range` when a limit was met. Changes nothing: no flag that writes is
/// passed.
pub(crate) fn pagemap_scan(
    pagemap: BorrowedFd<'_>,
    range: Range,
    wanted: Categories,
    most_pages: u64,
    regions: &mut [Region],
) -> Result<(usize, Addr), Errno> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: 0,
        start: range.start.get(),
        end: range.end.get(),
        walk_end: 0,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        max_pages: most_pages,
        category_inverted: 0,
        category_mask: 0,
        category_anyof_mask: wanted.0,
        return_mask: wanted.0,
    };
    loop {
        // SAFETY: `argument` has the size and layout that PAGEMAP_SCAN takes (asserted above) and
        // lives through the call. The kernel writes to its `walk_end` and to at most `vec_len`
        // regions at `vec`, which are ours by the exclusive borrow and valid for any bits. On a file
        // that is not a pagemap, or an older kernel, it answers ENOTTY.
        let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) };
        match usize::try_from(count) {
            Ok(count) => return Ok((count.min(regions.len()), Addr(argument.walk_end))),
            Err(_) => match Errno::from_io_error(&std::io::Error::last_os_error()) {
                Some(Errno::INTR) => continue,
                errno => return Err(errno.unwrap_or(Errno::IO)),
            },
        }
    }
}

/// Anonymous memory of our own, never written: its pages are absent until read, then zero pages.
pub(crate) struct Untouched {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Untouched {
    /// Maps `bytes` of it, asking for huge pages.
    pub(crate) fn map(bytes: usize) -> Result<Self, Errno> {
        let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        // SAFETY: with a null address and without MAP_FIXED the kernel chooses unused addresses, so
        // no memory that Rust knows of is replaced.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                protection,
                rustix::mm::MapFlags::PRIVATE | rustix::mm::MapFlags::NORESERVE,
            )
        }?;
        let mapped = Self { start, bytes };
        // SAFETY: the range is the map just made, and MADV_HUGEPAGE changes no contents. A kernel
        // without huge pages answers EINVAL, which is no matter: small pages serve too.
        let _ = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxHugepage) };
        Ok(mapped)
    }

    /// Where it is.
    pub(crate) fn range(&self) -> Range {
        Range::sized(Addr(self.start as u64), self.bytes as u64)
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        // SAFETY: `start` and `bytes` are those of the map made in `map`, which nobody else has;
        // no reference into it was ever made.
        let _ = unsafe { rustix::mm::munmap(self.start, self.bytes) };
    }
}
