//! The governor's thread, and what is around a fork.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;

/// The stack of the governor: it calls into jemalloc's statistics, which need a few KiB.
const THREAD_STACK_BYTES: usize = 128 << 10;

/// Whether this thread, which is not the process's first, is the only one that has not ended.
pub(crate) fn is_last_thread() -> bool {
    let mut text = [0; 512];
    let first = super::read_file(c"/proc/self/stat", &mut text);
    // After the name, which may hold anything: the state of the first thread.
    let after_name = first.iter().rposition(|&byte| byte == b')').map(|end| &first[end..]);
    if !after_name.is_some_and(|rest| rest.starts_with(b") Z")) {
        return false;
    }
    // Of a folder the kernel counts one link for each folder in it, and two.
    super::n_links(c"/proc/self/task") == Some(2 + 2)
}

/// Gives the processor to another thread, if one waits for it.
pub(crate) fn let_others_run() {
    // SAFETY: no precondition.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}

/// Starts a detached thread with a small stack that no signal of the process ever reaches.
pub(crate) fn spawn(run: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::zeroed();
    let mut thread = MaybeUninit::<libc::pthread_t>::zeroed();
    // SAFETY: `all` is writable.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `attributes` is writable.
    if unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: initialised above. A refusal leaves the default stack, which is larger.
    unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), THREAD_STACK_BYTES) };
    // SAFETY: initialised above.
    unsafe { libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED) };
    // The new thread inherits the mask; this thread gets its own back.
    // SAFETY: both sets are writable, `all` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: `run` never returns into anything that is gone: it takes no argument and is never unloaded
    // (the library is linked with `-z nodelete`).
    let failed =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, core::ptr::null_mut()) };
    // SAFETY: `before` was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut()) };
    // SAFETY: initialised above, not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    failed == 0
}

/// Names this thread.
pub(crate) fn name_thread(name: &CStr) {
    // SAFETY: reads at most 16 bytes of a NUL-terminated string.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr()) };
}

/// Gives this thread a table of descriptors of its own, empty: what it opens, the program does not see,
/// and what the program has open, it does not keep open. Before Linux 5.9 the table stays shared.
pub(crate) fn leave_descriptors() {
    const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
    // SAFETY: with this flag the table is copied first, so that no descriptor of another thread is closed;
    // where the flag is unknown the call fails and closes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, CLOSE_RANGE_UNSHARE) };
}

/// Registers what runs around each fork.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the functions are never unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}
