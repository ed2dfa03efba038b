//! The functions that slots are redirected from, and the hooks that they are redirected to: the only list
//! of them.
//!
//! Invariant: a function that the program does not have is not redirected.
#![allow(unsafe_code)] // addresses of hooks

use core::ffi::CStr;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use super::definition::definition;
use super::loader::{REAL_DLOPEN, REAL_DLSYM, slackwater_agent_dlopen, slackwater_agent_dlsym};
use crate::{hooks, sys};

/// A function and the hook in front of it.
pub(super) struct Hook {
    name: &'static CStr,
    ours: *const (),
    theirs: AtomicUsize,
}

// SAFETY: the pointer is a function's address.
unsafe impl Sync for Hook {}

macro_rules! hooks {
    ($($name:literal => $hook:path,)+) => {
        static HOOKS: [Hook; [$($name),+].len()] = [
            $(Hook { name: $name, ours: $hook as *const (), theirs: AtomicUsize::new(0) },)+
        ];
    };
}

hooks! {
    c"malloc" => hooks::malloc,
    c"free" => hooks::free,
    c"calloc" => hooks::calloc,
    c"realloc" => hooks::realloc,
    c"posix_memalign" => hooks::posix_memalign,
    c"aligned_alloc" => hooks::aligned_alloc,
    c"memalign" => hooks::memalign,
    c"reallocarray" => hooks::reallocarray,
    c"valloc" => hooks::valloc,
    c"pvalloc" => hooks::pvalloc,
    c"cfree" => hooks::cfree,
    c"free_sized" => hooks::free_sized,
    c"free_aligned_sized" => hooks::free_aligned_sized,
    c"mmap" => hooks::mmap,
    c"mmap64" => hooks::mmap64,
    c"munmap" => hooks::munmap,
    c"mremap" => hooks::mremap,
    c"dlopen" => slackwater_agent_dlopen,
    c"dlsym" => slackwater_agent_dlsym,
}

/// Asks where the real functions are.
pub(super) fn find() {
    for hook in &HOOKS {
        hook.theirs.store(definition(hook.name), Relaxed);
    }
    let theirs = |name: &CStr| of(name).map_or(0, Hook::theirs) as usize;
    REAL_DLOPEN.store(theirs(c"dlopen"), Relaxed);
    REAL_DLSYM.store(theirs(c"dlsym"), Relaxed);
}

/// The hook in front of the function of this name, if both are there.
pub(super) fn of(name: &CStr) -> Option<&'static Hook> {
    HOOKS.iter().find(|hook| hook.name == name && hook.theirs.load(Relaxed) != 0)
}

/// Where a function of mappings lies behind the hooks, in a process where the loader has put these in front.
pub(super) fn mapping_behind(name: &CStr) -> Option<u64> {
    let hook = HOOKS.iter().find(|hook| hook.name == name && hook.is_of_mappings())?;
    let address = sys::next_symbol(hook.name);
    (address != 0).then_some(address as u64)
}

impl Hook {
    /// Whether it hands out mappings, not blocks.
    pub(super) fn is_of_mappings(&self) -> bool {
        [c"mmap", c"mmap64", c"munmap", c"mremap"].contains(&self.name)
    }

    /// The hook's address.
    pub(super) fn ours(&self) -> u64 {
        self.ours as u64
    }

    /// The real function's.
    pub(super) fn theirs(&self) -> u64 {
        self.theirs.load(Relaxed) as u64
    }
}
