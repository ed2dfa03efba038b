//! The loader's own locks, and the functions by which the program loads more.
//!
//! An object that another thread is loading is in the loader's list before it is relocated, and some of its
//! pages become read-only after that. Changing its slots meanwhile would make that thread fault. So objects
//! are only touched while this thread holds the lock under which the loader loads; the mutexes are
//! recursive, and the loader takes them in the same order (`_dl_load_lock`, then `_dl_load_write_lock`, in
//! elf/dl-open.c and elf/dl-object.c).
//!
//! Invariant: the loader sees the caller that it would have seen. `dlopen` of a name without a slash is
//! looked for where its caller says (`RUNPATH`), and `dlsym(RTLD_NEXT)` goes by its caller too: for these
//! the hooks jump on and leave no frame behind. What was loaded so is noticed at the next call.
#![allow(unsafe_code)] // the loader's mutexes and functions

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

use slackwater_capture::transport::late::Late;
use slackwater_inside::{global_symbol, keeping_errno};

use super::slots;
use crate::sys;

/// `pthread_mutex_t`, as far as it is the same in every glibc on x86-64.
#[repr(C)]
pub(crate) struct Mutex {
    lock: AtomicU32,
    count: AtomicU32,
    owner: AtomicU32,
    n_users: AtomicU32,
    kind: AtomicU32,
}

/// `PTHREAD_MUTEX_RECURSIVE_NP`.
const RECURSIVE: u32 = 1;

/// Longest wait for them, milliseconds: the thread that waits is the program's.
const PATIENCE_MS: u64 = 100;

type TimedOperation = unsafe extern "C" fn(*mut Mutex, *const libc::timespec) -> c_int;
type Operation = unsafe extern "C" fn(*mut Mutex) -> c_int;

/// The two locks.
#[derive(Clone, Copy)]
pub(crate) struct Locks {
    load: *mut Mutex,
    list: *mut Mutex,
}

/// The lock under which the loader loads is held as long as this lives.
pub(super) struct Held {
    lock: *mut Mutex,
    unlock: Operation,
}

impl Locks {
    /// `None` for what is no such lock.
    ///
    /// # Safety
    /// Both are readable, or null.
    pub(super) unsafe fn new(load: *mut Mutex, list: *mut Mutex) -> Option<Self> {
        let is_recursive = |lock: *mut Mutex| {
            // SAFETY: the caller's; null is asked first.
            !lock.is_null() && unsafe { &*lock }.kind.load(Relaxed) == RECURSIVE
        };
        (is_recursive(load) && is_recursive(list)).then_some(Self { load, list })
    }

    /// Takes the one under which the loader loads, unless another thread keeps either.
    pub(super) fn try_hold(self) -> Result<Held, Late> {
        let take = global_symbol(c"pthread_mutex_timedlock").ok_or(Late::LoaderUnknown)?;
        // SAFETY: its type in pthread.h.
        let take = unsafe { core::mem::transmute::<usize, TimedOperation>(take) };
        let unlock = operation(c"pthread_mutex_unlock").ok_or(Late::LoaderUnknown)?;
        let until = sys::wall_time_in(PATIENCE_MS);
        // SAFETY: a mutex of the loader's, which lives as long as the process.
        if unsafe { take(self.load, &raw const until) } != 0 {
            return Err(Late::Busy);
        }
        let held = Held { lock: self.load, unlock };
        // The list's own lock is taken for each look at it: only whether somebody stays in it is asked.
        // SAFETY: as above.
        if unsafe { take(self.list, &raw const until) } != 0 {
            return Err(Late::Busy);
        }
        // SAFETY: taken by this thread.
        unsafe { unlock(self.list) };
        // SAFETY: as above.
        let owner = unsafe { &*self.load }.owner.load(Relaxed);
        if owner == sys::tid() { Ok(held) } else { Err(Late::LoaderUnknown) }
    }
}

/// Takes the lock under which the loader loads, however long that takes: for a thread that has just loaded
/// something, and so waited for it anyway.
fn hold(lock: *mut Mutex) -> Option<Held> {
    let take = operation(c"pthread_mutex_lock")?;
    let unlock = operation(c"pthread_mutex_unlock")?;
    // SAFETY: a mutex of the loader's, which lives as long as the process.
    let taken = unsafe { take(lock) } == 0;
    taken.then_some(Held { lock, unlock })
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: taken by this thread.
        unsafe { (self.unlock)(self.lock) };
    }
}

fn operation(name: &CStr) -> Option<Operation> {
    // SAFETY: this is the type of these functions in pthread.h.
    global_symbol(name).map(|address| unsafe { core::mem::transmute::<usize, Operation>(address) })
}

/// The lock under which the loader loads, for the hooks below.
static LOAD_LOCK: AtomicPtr<Mutex> = AtomicPtr::new(core::ptr::null_mut());
/// Something may have been loaded that was not looked at.
static IS_BEHIND: AtomicBool = AtomicBool::new(false);

/// The functions behind the hooks below.
pub(super) static REAL_DLOPEN: AtomicUsize = AtomicUsize::new(0);
pub(super) static REAL_DLSYM: AtomicUsize = AtomicUsize::new(0);

pub(super) fn remember(locks: Locks) {
    LOAD_LOCK.store(locks.load, Release);
}

/// The lock under which the loader loads: it lies in the loader's own data.
pub(super) fn lock_address() -> u64 {
    LOAD_LOCK.load(Relaxed) as u64
}

/// Whether `dlopen` of this name does the same whoever calls it: the file is named by a path, without `$`
/// (`_dl_open` in elf/dl-open.c asks for the caller otherwise).
extern "C" fn is_any_callers(name: *const c_char) -> c_int {
    let is_plain = !name.is_null() && {
        // SAFETY: the argument of dlopen(3) is NUL-terminated.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        name.contains(&b'/') && !name.contains(&b'$')
    };
    IS_BEHIND.store(true, Relaxed);
    c_int::from(is_plain)
}

/// Something was loaded: by a path, by this thread, just now.
extern "C" fn after_dlopen() {
    IS_BEHIND.store(true, Relaxed);
    catch_up();
}

/// Looks at what was loaded meanwhile. When that is nothing, it may still come.
extern "C" fn catch_up() {
    if !IS_BEHIND.load(Relaxed) {
        return;
    }
    let load = LOAD_LOCK.load(Acquire);
    if load.is_null() {
        return;
    }
    keeping_errno(|| {
        if let Some(_held) = hold(load)
            && slots::take_more()
        {
            IS_BEHIND.store(false, Relaxed);
        }
    });
}

// dlopen(name, mode): rdi, rsi. dlsym(handle, name): rdi, rsi.
core::arch::global_asm!(
    ".text",
    ".balign 16",
    ".globl slackwater_agent_dlopen",
    ".hidden slackwater_agent_dlopen",
    ".type slackwater_agent_dlopen, @function",
    "slackwater_agent_dlopen:",
    ".cfi_startproc",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "push rsi",
    ".cfi_adjust_cfa_offset 8",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "call {is_any_callers}",
    "add rsp, 8",
    ".cfi_adjust_cfa_offset -8",
    "pop rsi",
    ".cfi_adjust_cfa_offset -8",
    "pop rdi",
    ".cfi_adjust_cfa_offset -8",
    "test eax, eax",
    "jz 2f",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "call qword ptr [rip + {real_dlopen}]",
    "mov qword ptr [rsp], rax",
    "call {after_dlopen}",
    "pop rax",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    "2: jmp qword ptr [rip + {real_dlopen}]",
    ".cfi_endproc",
    ".size slackwater_agent_dlopen, . - slackwater_agent_dlopen",
    ".balign 16",
    ".globl slackwater_agent_dlsym",
    ".hidden slackwater_agent_dlsym",
    ".type slackwater_agent_dlsym, @function",
    "slackwater_agent_dlsym:",
    ".cfi_startproc",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "push rsi",
    ".cfi_adjust_cfa_offset 8",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "call {catch_up}",
    "add rsp, 8",
    ".cfi_adjust_cfa_offset -8",
    "pop rsi",
    ".cfi_adjust_cfa_offset -8",
    "pop rdi",
    ".cfi_adjust_cfa_offset -8",
    "jmp qword ptr [rip + {real_dlsym}]",
    ".cfi_endproc",
    ".size slackwater_agent_dlsym, . - slackwater_agent_dlsym",
    is_any_callers = sym is_any_callers,
    after_dlopen = sym after_dlopen,
    catch_up = sym catch_up,
    real_dlopen = sym REAL_DLOPEN,
    real_dlsym = sym REAL_DLSYM,
);

unsafe extern "C" {
    /// Stands in front of dlopen(3).
    pub(super) fn slackwater_agent_dlopen();
    /// Stands in front of dlsym(3).
    pub(super) fn slackwater_agent_dlsym();
}
