//! Finding CPython in someone else's memory: which release, which build, which allocator serves its
//! objects, and where that keeps its books.
//!
//! Invariant: pure, and never a guess. A release whose layouts are not known is refused with the
//! nearest known one named; structures are believed when everything in them fits together.
//!
//! Must never know: how pools are walked, whether the memory is live or a core file.

mod allocators;
mod error;
mod find;
mod image;
mod interpreters;
mod obmalloc;
mod scan;
mod version;

pub use allocators::{Backend, Domain, Domains};
pub use error::PythonError;
pub use find::{Build, Interpreter, find};
pub use image::PythonImage;
pub use slackwater_layout::cpython::{PymallocState, PythonVersion, ReleaseLevel};
