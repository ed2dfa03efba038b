//! Captures: what was allocated, where, when and by whom, for a whole service in one file; and the shared
//! memory through which processes hand it over.
//!
//! ```text
//! agent ─▶ transport::Ring ─▶ collector ─▶ Writer ─▶ file ─▶ Capture ─▶ reports
//! ```
//!
//! Invariants: pure; everything read back may have been cut off or damaged at any byte and is never
//! trusted; contents of memory are not part of the format.
//!
//! Must never know: how a process is hooked, what Python is, what a report looks like.
#![no_std]

extern crate alloc;
#[cfg(any(feature = "file", test))]
extern crate std;

pub mod transport;

#[cfg(feature = "file")]
mod codec;
#[cfg(feature = "file")]
mod error;
#[cfg(feature = "file")]
mod event;
#[cfg(feature = "file")]
pub mod format;
#[cfg(feature = "file")]
mod frame;
#[cfg(feature = "file")]
mod index;
#[cfg(feature = "file")]
mod ordered;
#[cfg(feature = "file")]
mod reader;
#[cfg(feature = "file")]
mod recent;
#[cfg(feature = "file")]
mod record;
#[cfg(feature = "file")]
mod sized;
#[cfg(feature = "file")]
mod sum;
#[cfg(feature = "file")]
mod varint;
#[cfg(feature = "file")]
mod writer;

#[cfg(feature = "file")]
pub use codec::{Decoder, Encoder};
#[cfg(feature = "file")]
pub use error::{DecodeError, ReadError};
#[cfg(feature = "file")]
pub use frame::{FRAME_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES};
#[cfg(feature = "file")]
pub use index::{FrameAt, Index};
#[cfg(feature = "file")]
pub use reader::{Anchor, Capture};
#[cfg(feature = "file")]
pub use record::{Allocation, Before, Ending, Generation, Measure, Module, NativeCode, Record, ResidentBy};
#[cfg(feature = "file")]
pub use sum::{Amount, Asked, Sum, Summed};
#[cfg(feature = "file")]
pub use writer::Writer;
