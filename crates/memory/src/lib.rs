//! Someone else's memory, as a trait: list its mappings, ask which pages are resident, read bytes.
//!
//! The walkers of `heap` and `python` see only this, so they run unchanged on a live process, on a
//! core file and on a test [`Image`].
//!
//! Invariant: nothing here changes the target, not even its page tables. Residency is asked before
//! a page is read, and an absent page is answered without touching it: zeros where it is anonymous,
//! the file's bytes where it maps a file, [`MemoryError::Swapped`] where it is on swap.
//!
//! Must never know: process ids, /proc, what the bytes mean.

mod error;
mod image;
mod mapping;
mod page;
mod source;
mod window;

pub use error::MemoryError;
pub use image::Image;
pub use mapping::{Access, FileId, Kind, Mapping, Sharing};
pub use page::Page;
pub use source::{Bindings, Memory, MemoryExt, Symbols};
pub use window::{WINDOW_BYTES, Window};
