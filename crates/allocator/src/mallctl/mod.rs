//! jemalloc's control tree, typed.
//!
//! Invariant: every name that we use is in `names`, with its type; a name that this jemalloc lacks is
//! `None`, never an abort.
#![allow(unsafe_code)] // jemalloc's C interface

pub(crate) mod names;

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use tikv_jemalloc_sys as jemalloc;

/// The longest path in the tree.
const DEPTH_MAX: usize = 8;

/// Types that jemalloc reads and writes as they are: every bit pattern is a value.
///
/// # Safety
/// Plain integers only.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for usize {}
// SAFETY: an integer.
unsafe impl Plain for isize {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}
// SAFETY: an integer; jemalloc's `bool` is read as one, so that no invalid `bool` can arise.
unsafe impl Plain for u8 {}

/// A name of the tree, and the type of what it names.
#[derive(Debug)]
pub(crate) struct Name<T>(&'static CStr, PhantomData<T>);

impl<T> Name<T> {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self(name, PhantomData)
    }

    /// Looks the name up, once for many uses.
    pub(crate) fn resolve(&self) -> Option<Node<T>> {
        let mut path = [0_usize; DEPTH_MAX];
        let mut depth = path.len();
        // SAFETY: the name is NUL-terminated, `path` writable for `depth` words.
        let failed = unsafe { jemalloc::mallctlnametomib(self.0.as_ptr(), path.as_mut_ptr(), &mut depth) };
        (failed == 0).then_some(Node { path, depth, of: PhantomData })
    }
}

impl<T: Plain> Name<T> {
    /// The value now.
    pub(crate) fn read(&self) -> Option<T> {
        self.resolve()?.read()
    }
}

/// A place in the tree.
#[derive(Debug)]
pub(crate) struct Node<T> {
    path: [usize; DEPTH_MAX],
    depth: usize,
    of: PhantomData<T>,
}

impl<T> Node<T> {
    /// The same place in another arena, where the arena is the second step of the path.
    pub(crate) fn of_arena(&self, arena: usize) -> Self {
        let mut path = self.path;
        path[1] = arena;
        Self { path, depth: self.depth, of: PhantomData }
    }

    /// Does what the place stands for.
    pub(crate) fn run(&self) -> bool {
        // SAFETY: nothing is read or written.
        unsafe { self.call(ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) }
    }

    /// Whether jemalloc took the call.
    ///
    /// # Safety
    /// As mallctlbymib of jemalloc(3) says of these four.
    unsafe fn call(
        &self,
        old: *mut c_void,
        old_bytes: *mut usize,
        new: *mut c_void,
        new_bytes: usize,
    ) -> bool {
        // SAFETY: the path came from jemalloc; the rest is our caller's.
        unsafe { jemalloc::mallctlbymib(self.path.as_ptr(), self.depth, old, old_bytes, new, new_bytes) == 0 }
    }
}

impl<T: Plain> Node<T> {
    /// The value now.
    pub(crate) fn read(&self) -> Option<T> {
        let mut value = MaybeUninit::<T>::zeroed();
        let mut n_bytes = size_of::<T>();
        let into = value.as_mut_ptr().cast::<c_void>();
        // SAFETY: `into` has room for `n_bytes`; jemalloc checks that size against its own type.
        let is_read = unsafe { self.call(into, &mut n_bytes, ptr::null_mut(), 0) };
        // SAFETY: zeroed or written; every bit pattern is a value, by `Plain`.
        (is_read && n_bytes == size_of::<T>()).then(|| unsafe { value.assume_init() })
    }

    /// Sets the value.
    pub(crate) fn write(&self, mut value: T) -> bool {
        let from = (&raw mut value).cast::<c_void>();
        // SAFETY: `from` is a value; jemalloc checks its size against its own type and reads it.
        unsafe { self.call(ptr::null_mut(), ptr::null_mut(), from, size_of::<T>()) }
    }
}
