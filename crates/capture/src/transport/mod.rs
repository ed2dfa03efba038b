//! The shared memory between the processes that are recorded and the collector.
//!
//! ```text
//! session   header (64 words)  ring 0  ring 1 ...
//! ring      header (64 words)  slots of three words
//! ```
//!
//! One process owns a ring, many of its threads push into it, the collector drains it. All of it is words
//! that both sides change atomically; nothing in it is an address of either side.
//!
//! Invariant: neither side believes the other. Whatever the words hold, no index leaves its slice and no
//! loop is without an end.

pub mod late;
mod message;
#[cfg(all(loom, test))]
mod model;
mod ring;
mod session;

#[cfg(not(all(loom, test)))]
use core::sync::atomic::AtomicU64;
#[cfg(all(loom, test))]
use loom::sync::atomic::AtomicU64;

pub use message::{Message, TEXT_BYTES_MAX, Texts};
pub use ring::{Drained, Full, Ring, SLOT_WORDS, Slot};
pub use session::{Mode, NotASession, PythonAllocators, Session, SessionState, Settings};
