//! What runs around each fork.
//!
//! jemalloc takes and resets its own locks by handlers that it registers at its first allocation. Ours
//! are registered by the constructor, later: libc runs the child's handlers in the order of
//! registration, so in ours jemalloc serves again. A `vfork` or a raw `clone` runs no handler; such a
//! child has no governor, and nothing here that could stop it.
//!
//! Invariant: what the parent's threads were doing to our state at that moment does not matter in the
//! child: the governor's state is on its own stack, and the block is opened again.

use crate::{block, governor, mallctl, objects, sys};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// This process was forked from one that had the library.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process was forked from one that had the library.
pub(crate) fn has_forked() -> bool {
    FORKED.load(Relaxed)
}

/// From now on.
pub(crate) fn watch() {
    sys::at_fork(objects::hold, objects::release, in_child);
}

extern "C" fn in_child() {
    FORKED.store(true, Relaxed);
    objects::release();
    block::after_fork();
    // jemalloc forgets at fork that it had background threads. Who asked for them wants them here too.
    if mallctl::names::OPT_BACKGROUND_THREAD.read() == Some(1)
        && let Some(background_thread) = mallctl::names::BACKGROUND_THREAD.resolve()
    {
        background_thread.write(1);
    }
    governor::start_again();
}
