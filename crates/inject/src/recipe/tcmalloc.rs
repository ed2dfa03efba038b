//! gperftools' tcmalloc: `MallocExtension_ReleaseFreeMemory()`, its C interface.
//!
//! It hands back the page heap's free spans. Thread caches stay. Google's own tcmalloc exports no C
//! function for this.

use super::Recipe;

/// Releases all free spans.
pub const TCMALLOC_RELEASE: Recipe = Recipe {
    allocator: "tcmalloc",
    symbols: &["MallocExtension_ReleaseFreeMemory"],
    files: &["libtcmalloc"],
    arguments: &[],
    blob: &[],
};
