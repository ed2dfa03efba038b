//! The functions that the agent stands in front of, each with the real one behind it.
//!
//! Order: an allocation is recorded after the real call, because before it there is no address; a free
//! before it, because after it the address may already be another thread's. `malloc_usable_size` is the
//! next library's own: it is not exported here.
//!
//! Invariant: what the real function returns is returned, and `errno` is the real function's: whatever in
//! here could change it (`sys`) keeps it.
#![allow(unsafe_code)] // the C interface of malloc and mmap

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

use crate::process::{self, EXACT, Process, SAMPLED, UNARMED};
use crate::recorder::{self, ALIGNED, CALLOC, MALLOC, MAPPING, REALLOC};
use crate::sys::{self, ThreadLocal};
use crate::{domains, real};

/// After the real call: `block` of `size` bytes was handed out.
#[inline]
pub(crate) fn allocated(measure: u8, block: *mut c_void, size: usize) {
    let phase = process::phase();
    if matches!(phase, SAMPLED | EXACT) {
        let thread = sys::thread_local();
        if !domains::is_inside(thread) {
            record(phase, thread, measure, block, size);
        }
    } else if phase == UNARMED {
        rearm();
    }
}

/// As [`allocated`], in a thread that is in no hook of Python's allocators.
#[inline]
pub(crate) fn allocated_by(thread: &ThreadLocal, measure: u8, block: *mut c_void, size: usize) {
    record(process::phase(), thread, measure, block, size);
}

#[inline(always)]
fn record(phase: u64, thread: &ThreadLocal, measure: u8, block: *mut c_void, size: usize) {
    if phase == SAMPLED {
        let left = thread.countdown.load(Relaxed).wrapping_sub(size as i64);
        thread.countdown.store(left, Relaxed);
        if left <= 0 && !block.is_null() {
            sys::keeping_errno(|| recorder::sample(measure, block as u64, size as u64));
        }
    } else if phase == EXACT && !block.is_null() {
        recorder::allocation(measure, block as u64, size as u64);
    }
}

/// Before the real call: `block` is given back. Whether that was recorded.
#[inline]
pub(crate) fn freeing(block: *mut c_void) -> bool {
    match process::phase() {
        SAMPLED => process::get().is_some_and(|process| sample_freed(process, block)),
        EXACT if !block.is_null() && !domains::is_taken_back(block) => {
            recorder::free(block as u64);
            true
        }
        _ => false,
    }
}

/// Before the real call: `block` is given back, which may be a sample. Whether it was.
#[inline]
pub(crate) fn sample_freed(process: &Process, block: *mut c_void) -> bool {
    process.live().may_hold(block as u64) && sample_likely_freed(process, block)
}

#[cold]
#[inline(never)]
fn sample_likely_freed(process: &Process, block: *mut c_void) -> bool {
    let removed = process.live().remove(block as u64);
    if removed {
        sys::keeping_errno(|| recorder::free(block as u64));
    }
    removed
}

/// In a forked child.
#[cold]
pub(crate) fn rearm() {
    if let Some(process) = process::get() {
        sys::keeping_errno(|| process.arm());
    }
}

/// # Safety
/// As malloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let block = real::malloc(size);
    allocated(MALLOC, block, size);
    block
}

/// # Safety
/// As calloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let block = real::calloc(count, size);
    // It did not overflow, or there is no block.
    allocated(CALLOC, block, count.wrapping_mul(size));
    block
}

/// # Safety
/// As realloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        let block = real::malloc(size);
        allocated(REALLOC, block, size);
        return block;
    }
    let was_recorded = freeing(block);
    // SAFETY: the caller's.
    let moved = unsafe { real::realloc(block, size) };
    if !moved.is_null() {
        allocated(REALLOC, moved, size);
    } else if size > 0 && was_recorded {
        // It failed, and the old block is still there.
        // SAFETY: the caller's.
        let usable = unsafe { real::usable_size(block) };
        sys::keeping_errno(|| recorder::allocation(REALLOC, block as u64, usable as u64));
    }
    moved
}

/// # Safety
/// As reallocarray(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as `realloc`.
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => {
            slackwater_inside::set_errno(libc::ENOMEM);
            null_mut()
        }
    }
}

/// # Safety
/// As free(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(block: *mut c_void) {
    freeing(block);
    // SAFETY: the caller's.
    unsafe { real::free(block) };
}

/// # Safety
/// As free(3); glibc exported it until 2.26.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: the caller's.
    unsafe { free(block) };
}

/// # Safety
/// As free_sized of C23.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: the caller's.
    unsafe { free(block) };
}

/// # Safety
/// As free_aligned_sized of C23.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _alignment: usize, _size: usize) {
    // SAFETY: the caller's.
    unsafe { free(block) };
}

/// # Safety
/// As posix_memalign(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(
    block: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    // SAFETY: the caller's.
    let failed = unsafe { real::posix_memalign(block, alignment, size) };
    if failed == 0 {
        // SAFETY: written by the real function.
        allocated(ALIGNED, unsafe { *block }, size);
    }
    failed
}

/// # Safety
/// As aligned_alloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    let block = real::aligned_alloc(alignment, size);
    allocated(ALIGNED, block, size);
    block
}

/// # Safety
/// As memalign(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    let block = real::memalign(alignment, size);
    allocated(ALIGNED, block, size);
    block
}

/// # Safety
/// As valloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    let block = real::valloc(size);
    allocated(ALIGNED, block, size);
    block
}

/// # Safety
/// As pvalloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let block = real::pvalloc(size);
    allocated(ALIGNED, block, size);
    block
}

/// A mapping that looks like an arena of Python's own allocator: as `mapped`, but no line is to blame for it.
#[cold]
fn arena_mapped(address: *mut c_void, size: usize) {
    match process::get() {
        Some(process) if matches!(process::phase(), SAMPLED | EXACT) && process.python().is_ok() => {
            process.pieces().mapped(address as u64);
            // Its blocks may be seen one by one.
            if !domains::is_inside(sys::thread_local()) && !domains::is_stray() {
                sys::keeping_errno(|| recorder::arena(address as u64, size as u64));
            }
        }
        _ => mapped(address, size),
    }
}

/// Mappings are few: each is recorded, in both modes.
fn mapped(address: *mut c_void, size: usize) {
    match process::phase() {
        SAMPLED | EXACT => {
            if let Some(process) = process::get() {
                process.pieces().mapped(address as u64);
            }
            if !domains::is_inside(sys::thread_local()) {
                sys::keeping_errno(|| recorder::allocation(MAPPING, address as u64, size as u64));
            }
        }
        UNARMED => rearm(),
        _ => {}
    }
}

fn unmapping(address: *mut c_void, size: usize) {
    if matches!(process::phase(), SAMPLED | EXACT) {
        if let Some(process) = process::get() {
            process.pieces().unmapped(address as u64);
            if domains::is_arena(size) {
                // With an interpreter's end the code in its arenas may be gone, too.
                process.codes().forget();
            }
        }
        sys::keeping_errno(|| recorder::unmapped(address as u64, size as u64));
    }
}

/// # Safety
/// As mmap(2). Only memory that belongs to no file is recorded.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mmap(
    address: *mut c_void,
    size: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: the caller's. The system call is what glibc's function is.
    let mapped_at = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            address,
            size,
            i64::from(protection),
            i64::from(flags),
            i64::from(descriptor),
            offset,
        ) as *mut c_void
    };
    if mapped_at != libc::MAP_FAILED && flags & libc::MAP_ANONYMOUS != 0 {
        let is_plain = address.is_null() && flags == libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        if is_plain && domains::is_arena(size) {
            arena_mapped(mapped_at, size);
        } else {
            mapped(mapped_at, size);
        }
    }
    mapped_at
}

/// # Safety
/// As mmap(2): on this architecture they are one.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mmap64(
    address: *mut c_void,
    size: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe { mmap(address, size, protection, flags, descriptor, offset) }
}

/// # Safety
/// As munmap(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn munmap(address: *mut c_void, size: usize) -> c_int {
    unmapping(address, size);
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_munmap, address, size) as c_int }
}

/// # Safety
/// As mremap(2). The last argument is read by the kernel only when the flags say that there is one.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mremap(
    address: *mut c_void,
    old_size: usize,
    new_size: usize,
    flags: c_int,
    new_address: *mut c_void,
) -> *mut c_void {
    unmapping(address, old_size);
    // SAFETY: the caller's.
    let moved = unsafe {
        libc::syscall(libc::SYS_mremap, address, old_size, new_size, i64::from(flags), new_address)
            as *mut c_void
    };
    match moved {
        libc::MAP_FAILED => mapped(address, old_size),
        moved => mapped(moved, new_size),
    }
    moved
}
