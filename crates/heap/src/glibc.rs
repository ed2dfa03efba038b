//! Walks glibc malloc: every arena, heap and chunk, without symbols.
//!
//! ```text
//! image     data of mapped files           find, banner, params   where its parts are
//! library   which glibc, which release
//! threads   descriptors                    caches                 chunks parked by threads
//! state     one arena's own books          extent                 where its memory lies
//! tile      chunk by chunk                 tally                  what each adds to the ledger
//! arena     passes until the books balance                        mapped: chunks with own maps
//! ```
//!
//! Invariant: an arena is accepted when its chunks tile each heap exactly to the end, its heaps add
//! up to what glibc had from the system, and its free chunks are exactly those in the bins. If the
//! target changes too fast for that, the result carries a bound on the error and a gap; if the
//! chunks do not even tile, the arena is claimed as unexplained.

mod arena;
mod banner;
mod broken;
mod caches;
mod digests;
mod error;
mod extent;
mod fast;
mod find;
mod image;
mod library;
mod links;
mod mapped;
mod marks;
mod pages;
mod params;
mod settings;
mod state;
mod tally;
mod threads;
mod tile;
mod view;
mod walk;

pub use error::GlibcError;
pub use settings::settings;
pub use walk::walk;
