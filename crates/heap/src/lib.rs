//! What allocators hold: walks of glibc malloc, pymalloc and our jemalloc over someone else's memory.
//!
//! Invariant: pure. A walk sees a [`slackwater_memory::Memory`] and returns a [`Heap`] whose books
//! balance, or a gap: never a guess. Every loop is bounded, every pointer the target chose is
//! range-checked, our own memory does not grow with the target's.
//!
//! Must never know: whether the memory is live or a core file, Python objects.

pub mod glibc;
pub mod jemalloc;
mod map;
pub mod pymalloc;

pub use map::{Allocator, Arena, ArenaKind, Blocks, GlibcArena, GlibcSettings, GlibcVersion, Heap, Top};
