//! The collector: owns the memory that agents write to, drains it, and writes the capture.
//!
//! ```text
//! Source ── SharedMemory ── ring per process ─▶ Generation ─▶ frames ─▶ capture
//! ```
//!
//! Invariants: a process that is recorded never waits for a file: rings are drained whatever becomes of
//! the capture. When the capture cannot be written any more, recording ends and the processes live on.
//! What a ring holds was written by somebody else, and is bounded before it is believed.
//!
//! Must never know: how allocations are hooked, what a report looks like.

mod attach;
mod build_id;
mod collector;
mod error;
mod generation;
mod memory;
mod namespace;
mod native;
mod outside;
mod pending;
mod replace;
mod source;
mod sys;
mod threads;
mod under_way;

pub use attach::{Agent, AttachError, Attached};
pub use collector::{Collector, Options, Stacks, Summary, Turn};
pub use error::{CollectError, MarkError};
pub use memory::SharedMemory;
pub use under_way::{UnderWay, claim, mark, under_way};
