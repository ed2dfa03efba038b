//! What each thread keeps: a few words of static thread-local storage, reached by one instruction.
//!
//! Invariant: at most 64 bytes, so that even a library that is loaded late fits in what the loader keeps
//! free. All zero in a new thread. Words are atomic because a signal's handler may come in between.

use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64};

use crate::room::Room;

/// The words of one thread.
#[repr(C)]
pub(crate) struct ThreadLocal {
    /// Bytes until the next sample.
    pub(crate) countdown: AtomicI64,
    /// State of the random numbers; 0 before the first.
    pub(crate) random: AtomicU64,
    /// The stack pointer of the hook that is at work in this thread; 0 if none is.
    pub(crate) at_work: AtomicU64,
    /// The stack pointer of the hook in front of one of Python's allocators that is at work; 0 if none is.
    pub(crate) inside: AtomicU64,
    /// The block that this hook takes back.
    pub(crate) taken_back: AtomicU64,
    /// The thread.
    pub(crate) tid: AtomicU32,
    /// The key of the process that this was filled in.
    pub(crate) key: AtomicU32,
    /// The number of its room for stacks.
    pub(crate) room_number: AtomicU32,
    /// That room; null before.
    pub(crate) room: AtomicPtr<Room>,
}

const BYTES: usize = 64;
const _: () = assert!(size_of::<ThreadLocal>() <= BYTES);

core::arch::global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".balign 16",
    ".globl slackwater_agent_thread",
    ".hidden slackwater_agent_thread",
    ".type slackwater_agent_thread, @object",
    ".size slackwater_agent_thread, 64",
    "slackwater_agent_thread:",
    ".zero 64",
    ".text",
);

/// This thread's words. They are gone when it ends: not to be handed to another.
#[inline]
pub(crate) fn thread_local() -> &'static ThreadLocal {
    let address: *const ThreadLocal;
    // SAFETY: reads the thread pointer and a constant of the loader's; no memory is written.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [rip + slackwater_agent_thread@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) address,
            options(nostack, readonly, preserves_flags),
        );
    }
    // SAFETY: 64 zeroed bytes, aligned to 16, of which every pattern is a value.
    unsafe { &*address }
}

/// `pthread_self()`.
#[inline]
pub(crate) fn thread_pointer() -> u64 {
    let value: u64;
    // SAFETY: the thread control block begins with its own address.
    unsafe {
        core::arch::asm!("mov {0}, qword ptr fs:[0x10]", out(reg) value, options(nostack, readonly, preserves_flags));
    }
    value
}
