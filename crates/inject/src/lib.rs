//! One function call in one thread of a live process, leaving no trace.
//!
//! The thread is entered as a signal would enter it: frames in the kernel's own signal-frame format
//! are written below its stack, and one setting of its registers makes it run through them. Each
//! `sigreturn` loads the registers of the next call, the last one those the thread had. No code is
//! patched, nothing is mapped but by the call itself, and nobody is needed to bring the thread back.
//!
//! Invariants:
//! - Killing this program at any instant leaves the target running correctly (`entry`).
//! - A call is made only at a point proven safe by unwinding the whole stack (`safe_point`); where
//!   the proof fails nothing is changed and the error says why.
//! - One thread is stopped, never others; it is let go before the call begins.
//!
//! A library is loaded in the same way, by calls of `memfd_create` and `dlopen`: it comes out of memory, so
//! nothing of it has to be in the target's file system (`library`).
//!
//! A target that watches a word of its own for requests is asked by it instead, and not entered at all
//! (`mailbox`).
//!
//! What remains visible: a wait for a duration starts again in full length; a signal that arrives
//! during the call is handled after it, and the wait goes on instead of reporting EINTR.
//!
//! Must never know: what is called, and why. The recipes are data.

mod call;
mod call_site;
mod candidates;
mod code;
mod entry;
mod error;
mod files;
mod filters;
mod frame;
mod library;
mod loader_locks;
mod mailbox;
mod module;
pub mod recipe;
mod regs;
mod resume;
mod safe_point;
mod stack;
mod stop;
mod stub;
mod sys;
mod target;
mod unwind;
mod xstate;

pub use call::{Argument, Call, Options, Outcome, Point};
pub use error::{InjectError, Unsafe};
pub use files::MemoryFile;
pub use library::{Image, Library};
pub use loader_locks::LoaderLocks;
pub use mailbox::{Mailbox, Reply};
pub use target::Target;
