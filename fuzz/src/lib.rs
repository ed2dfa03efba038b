//! What the fuzz targets share: images to begin with, damage made of the fuzzer's bytes, and what
//! must hold of every heap, however damaged.
//!
//! Invariant: an input is the same run on every machine. No target reads a process, a clock or the
//! environment.

mod base;
mod books;
mod damage;
mod files;
mod history;
mod planted;
mod recording;

pub use base::{Base, Region};
pub use books::check_books;
pub use damage::damaged;
pub use files::{opened, written};
pub use history::{History, history};
pub use planted::{Planted, planted};
pub use recording::{decode, encode, recorded_jemalloc, recordings};
