//! The vocabulary of Slackwater: addresses, ranges, byte counts, ids, the ledger, partial results.
//!
//! Invariant: no I/O, no operating system, no dependency. Every other crate speaks these words.
#![no_std]

extern crate alloc;

mod addr;
mod bytes;
mod id;
mod ledger;
mod partial;
mod range;
mod words;

pub use addr::{Addr, PAGE_SIZE};
pub use bytes::{Bytes, ParseBytesError};
pub use id::{Pid, Tid};
pub use ledger::{Class, Ledger, PinReason, PinnedBy, Resident};
pub use partial::{Gap, Partial};
pub use range::Range;
