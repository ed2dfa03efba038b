//! jemalloc: `mallctl("arena.4096.purge", NULL, NULL, NULL, 0)`.
//!
//! 4096 is `MALLCTL_ARENAS_ALL` of every jemalloc from 5.0 on: all arenas hand back their dirty and
//! muzzy pages. An older jemalloc knows no such arena and answers an error, without effect.

use super::Recipe;
use crate::Argument;

/// Purges every arena.
pub const JEMALLOC_PURGE: Recipe = Recipe {
    allocator: "jemalloc",
    symbols: &["mallctl", "je_mallctl", "_rjem_mallctl"],
    files: &["libjemalloc", "libslackwater_alloc"],
    arguments: &[
        Argument::Blob(0),
        Argument::Word(0),
        Argument::Word(0),
        Argument::Word(0),
        Argument::Word(0),
    ],
    blob: b"arena.4096.purge\0",
};
