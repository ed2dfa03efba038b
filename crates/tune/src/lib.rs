//! Which malloc a service should run on, with which settings, and how to start it so.
//!
//! Invariant: pure. Nothing here opens a file, reads the environment or starts a program: bytes,
//! variables and file modes come in as values, changes and verdicts come out.

mod catalogue;
pub mod environment;
mod identity;
pub mod library;
pub mod presets;
pub mod program;
pub mod settings;

pub use catalogue::{Allocator, Distribution, LIBRARY_FOLDERS, Package, allocator_of_library};
/// Reads a file piece by piece, for [`program`] and [`library`].
pub use object::ReadCache;
