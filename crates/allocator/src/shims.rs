//! The malloc family of glibc, under glibc's names and by glibc's rules; jemalloc does the work.
//!
//! Invariant: the entries that programs live on (malloc, calloc, realloc, free and the plain aligned
//! ones) are a single jump. Sized frees ignore the size: a wrong one, which glibc forgives, must not
//! corrupt the heap. What glibc's manual leaves open follows glibc, not jemalloc.
//!
//! Exported besides, as jemalloc's users expect: `mallctl`, `mallctlnametomib`, `mallctlbymib`,
//! `malloc_stats_print`.
#![allow(unsafe_code)] // the C interface of malloc

use crate::sys;
use core::ffi::{c_char, c_int, c_void};
use tikv_jemalloc_sys as jemalloc;

/// The largest power of two that is a `size_t`: glibc refuses larger alignments.
const ALIGNMENT_MAX: usize = 1 << (usize::BITS - 1);
const PAGE_BYTES: usize = 4096;

/// Exports `name` as one jump. The compiler's own tail call would go through the table of addresses.
macro_rules! jumps {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? => $target:ident;)+) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub(crate) unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                core::arch::naked_asm!("jmp {target}", target = sym jemalloc::$target)
            }
        )+
    };
}

jumps! {
    /// # Safety
    /// As malloc(3).
    malloc(size: usize) -> *mut c_void => malloc;
    /// # Safety
    /// As calloc(3).
    calloc(count: usize, size: usize) -> *mut c_void => calloc;
    /// # Safety
    /// As realloc(3); a size of 0 frees and returns NULL, by the option `zero_realloc:free`.
    realloc(block: *mut c_void, size: usize) -> *mut c_void => realloc;
    /// # Safety
    /// As free(3).
    free(block: *mut c_void) => free;
    /// # Safety
    /// As free(3). glibc exported it until 2.26; old programs still call it.
    cfree(block: *mut c_void) => free;
    /// # Safety
    /// As free_sized of C23.
    free_sized(block: *mut c_void, size: usize) => free;
    /// # Safety
    /// As free_aligned_sized of C23.
    free_aligned_sized(block: *mut c_void, alignment: usize, size: usize) => free;
    /// # Safety
    /// As posix_memalign(3): jemalloc refuses the same alignments as glibc.
    posix_memalign(block: *mut *mut c_void, alignment: usize, size: usize) -> c_int => posix_memalign;
    /// # Safety
    /// As malloc_usable_size(3).
    malloc_usable_size(block: *mut c_void) -> usize => malloc_usable_size;
    /// # Safety
    /// As mallctl of jemalloc(3).
    mallctl(
        name: *const c_char, old: *mut c_void, old_bytes: *mut usize, new: *mut c_void, new_bytes: usize
    ) -> c_int => mallctl;
    /// # Safety
    /// As mallctlnametomib of jemalloc(3).
    mallctlnametomib(name: *const c_char, mib: *mut usize, length: *mut usize) -> c_int => mallctlnametomib;
    /// # Safety
    /// As mallctlbymib of jemalloc(3).
    mallctlbymib(
        mib: *const usize, length: usize, old: *mut c_void, old_bytes: *mut usize, new: *mut c_void,
        new_bytes: usize
    ) -> c_int => mallctlbymib;
    /// # Safety
    /// As malloc_stats_print of jemalloc(3).
    malloc_stats_print(
        write: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>, argument: *mut c_void,
        options: *const c_char
    ) => malloc_stats_print;
}

/// # Safety
/// As reallocarray(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as `realloc`.
        Some(bytes) => unsafe { jemalloc::realloc(block, bytes) },
        None => refuse(libc::ENOMEM),
    }
}

/// # Safety
/// As aligned_alloc(3). An alignment that is no power of two is refused since glibc 2.38 and rounded
/// up before.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    if alignment.is_power_of_two() {
        // SAFETY: the alignment is a power of two.
        return unsafe { jemalloc::aligned_alloc(alignment, size) };
    }
    if sys::libc_minor_version().is_some_and(|minor| minor < 38) {
        return allocate_aligned(alignment, size);
    }
    refuse(libc::EINVAL)
}

/// # Safety
/// As memalign(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    allocate_aligned(alignment, size)
}

/// # Safety
/// As valloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    allocate_aligned(PAGE_BYTES, size)
}

/// # Safety
/// As pvalloc(3): whole pages.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(PAGE_BYTES) {
        Some(bytes) => allocate_aligned(PAGE_BYTES, bytes),
        None => refuse(libc::ENOMEM),
    }
}

/// By memalign's rules: an alignment that is no power of two is rounded up to the next.
fn allocate_aligned(alignment: usize, size: usize) -> *mut c_void {
    if alignment > ALIGNMENT_MAX {
        return refuse(libc::EINVAL);
    }
    // SAFETY: at most `ALIGNMENT_MAX`, a power of two, so rounding up cannot overflow.
    unsafe { jemalloc::aligned_alloc(alignment.next_power_of_two(), size) }
}

fn refuse(errno: c_int) -> *mut c_void {
    sys::set_errno(errno);
    core::ptr::null_mut()
}
