//! What both libraries that are loaded into somebody else's process need there.
//!
//! Invariants: no standard library; nothing here allocates, locks, panics or writes `errno` unless its
//! name says so; no state.
//!
//! Must never know: what the library around it is for.
#![cfg_attr(not(test), no_std)]

mod errno;
mod kernel;
mod linking;
mod loader;
/// What the library profile needs in place of the standard library's.
#[cfg(all(not(test), panic = "abort"))]
mod runtime;

pub use errno::{keeping_errno, set_errno};
pub use kernel::{executable, monotonic_ns, pid, sleep_ns};
pub use loader::{environment, global_symbol, python_version};
