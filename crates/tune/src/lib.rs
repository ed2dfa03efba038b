//! Which malloc a service should run on, with which settings, and how to start it so.
//!
//! Invariant: pure. Nothing here opens a file, reads the environment or starts a program: bytes,
//! variables and file modes come in as values, changes and verdicts come out.

mod catalogue;
pub mod environment;
pub mod hazards;
mod identity;
mod interpreter;
pub mod library;
mod nearest;
pub mod presets;
pub mod program;
pub mod recipes;
pub mod settings;

pub use catalogue::{
    Allocator, Choice, ChoiceError, Distribution, LIBRARY_FOLDERS, Package, allocator_of_library,
};
pub use interpreter::Interpreter;
pub use nearest::nearest;
/// Reads a file piece by piece, for [`program`] and [`library`].
pub use object::ReadCache;
