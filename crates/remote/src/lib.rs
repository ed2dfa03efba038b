//! A live process as [`slackwater_memory::Memory`]: its mappings, its page states, its bytes, and
//! the symbols of the files it maps.
//!
//! Invariant: nothing here stops, signals or writes the target, and nothing makes its kernel map a
//! page. Page states come first; a page that is not mapped is answered without touching it.
//!
//! Must never know: Python, malloc.

pub mod access;
mod backing;
mod elf;
mod error;
mod frames;
mod live;
mod modules;
mod page_states;
mod reading;
mod relocations;
mod sys;
mod transfer;
mod zero_page;

pub use backing::open_mapped;
pub use elf::{ElfError, ElfFile, Section, Segment};
pub use error::{Denial, RemoteError};
pub use frames::Frames;
pub use live::Live;
pub use modules::Module;
