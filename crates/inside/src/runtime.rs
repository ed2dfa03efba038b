//! What a Rust program needs of its runtime, where there is no standard library.
//!
//! Invariant: nothing here is ever reached. Crates that are linked in can hold text, so the compiler asks
//! for an allocator; no code inside a target makes any.
#![allow(unsafe_code)] // the trait

use core::alloc::{GlobalAlloc, Layout};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no precondition.
    unsafe { libc::abort() }
}

struct None;

// SAFETY: it never returns a block, which any caller must be ready for.
unsafe impl GlobalAlloc for None {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NO_ALLOCATOR: None = None;
