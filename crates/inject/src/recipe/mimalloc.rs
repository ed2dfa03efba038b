//! mimalloc: `mi_collect(true)`.
//!
//! It collects the calling thread's heap and the segments that ended threads have left, and purges
//! the arenas. Other running threads keep what they cache until they allocate again.

use super::Recipe;
use crate::Argument;

/// Collects with force.
pub const MIMALLOC_COLLECT: Recipe = Recipe {
    allocator: "mimalloc",
    symbols: &["mi_collect"],
    files: &["libmimalloc"],
    arguments: &[Argument::Word(1)],
    blob: &[],
};
