//! The vocabulary of Slackwater: addresses, ranges, byte counts, durations, ids, the ledger, partial results.
//!
//! Invariant: no I/O, no operating system, no dependency. Every other crate speaks these words.
#![no_std]

extern crate alloc;

mod addr;
mod bytes;
mod duration;
mod id;
mod ledger;
mod partial;
mod range;
mod words;

pub use addr::{Addr, PAGE_SIZE};
pub use bytes::{Bytes, ParseBytesError};
pub use duration::{ParseDurationError, parse_duration};
pub use id::{Pid, Tid};
pub use ledger::{Class, Ledger, PinReason, PinnedBy, Resident};
pub use partial::{Gap, Partial};
pub use range::Range;
