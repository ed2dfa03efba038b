//! jemalloc 5.3.1 as our library has it inside: x86-64, pages of 4 KiB, 48 bits of address, with
//! statistics and without profiling.
//!
//! ```text
//!   page map (static)        leaf, one per GiB           extent (in a metadata block)
//!   root[2^18] ─────────────▶ word per page ───────────▶ state, class, address, size, slab bitmap
//!   arenas (static)          arena ──▶ base ──▶ blocks   the metadata blocks themselves
//!                             └──▶ ring of thread caches ──▶ bins ──▶ stacks of cached blocks
//! ```
//!
//! Taken from tikv-jemalloc-sys 0.7.1+5.3.1-0-g81034ce1f1373e37dc865038e1bc8eeecf559ce8, configured
//! with `--enable-stats --with-lg-vaddr=48`; each file names the header. Offsets were printed by a C
//! program that includes those headers.

/// The release.
pub const VERSION: &str = "5.3.1";

mod arena;
mod cache;
mod extent;
mod page_map;
mod size_class;

pub use arena::{ARENA, ArenaLayout, BLOCK, BlockLayout, MOST_ARENAS};
pub use cache::{CACHE, CacheBin, CacheLayout, MOST_BINS};
pub use extent::{Extent, ExtentState};
pub use page_map::{LEAF_BYTES, LEAF_SPAN_BYTES, LeafWord, ROOT, ROOT_ENTRIES};
pub use size_class::{N_SIZE_CLASSES, N_SMALL_CLASSES, PAGE_BYTES, size_of_class};
