//! Layouts of foreign structures: tables of offsets and sizes per version, and decoders of bytes.
//!
//! Invariant: pure facts. Every table cites the upstream file and tag it was taken from; nothing
//! here reads memory, and nothing here is believed without the books of `heap` balancing.
//!
//! Must never know: how memory is read, live or core.
#![cfg_attr(not(test), no_std)]

pub mod cpython;
mod field;
pub mod glibc;
pub mod jemalloc;
pub mod slackwater;

pub use field::{Field, Scalar};
