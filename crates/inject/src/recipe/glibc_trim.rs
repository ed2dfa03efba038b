//! glibc: `malloc_trim(0)`.
//!
//! It takes the lock of one arena after the other, returns whole free pages by `madvise`, and the
//! end of the main arena by `sbrk`. It does not visit the ends of secondary arenas (see
//! [`super::glibc_tops`]) nor the thread caches.

use super::Recipe;
use crate::Argument;

/// `malloc_trim(0)`: keep nothing at the end of the main arena.
pub const GLIBC_TRIM: Recipe = Recipe {
    allocator: "glibc",
    symbols: &["malloc_trim"],
    files: &["libc.so.6", "libc-2."],
    arguments: &[Argument::Word(0)],
    blob: &[],
};
