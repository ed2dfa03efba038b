//! jemalloc, as Slackwater's library has it inside: read by its page map, without entering.
//!
//! The library publishes a block (`layout::slackwater`) with jemalloc's own statistics and with the
//! addresses of its page map and its arenas. The walk follows the page map over the address space:
//!
//! ```text
//! │ extent, slab    │ extent, large │ extent, dirty   │  (not jemalloc's)  │ extent, retained ...
//! │ live, holes     │ live          │ trimmable       │                    │ no pages
//! ```
//!
//! Invariant: an extent is booked only when the page map and the extent describe each other (address,
//! state, class, at its first and at its last page), and a slab's bitmap has as many free blocks as
//! its counter says. What does not, because the target changes it, is read again; at last it is
//! unexplained, with a gap. Blocks parked in thread caches are told from live ones by those caches.
//!
//! Python's small objects lie in pools of the library's own, outside the page map: their headers are read.
//!
//! Must never know: what the blocks hold, who the governor is.

mod block;
mod booking;
mod caches;
mod compare;
mod error;
mod extents;
mod metadata;
mod page_map;
mod pools;
mod residency;
mod walk;

pub use block::{find_block, read_block};
pub use compare::disagreement;
pub use error::JemallocError;
pub use slackwater_layout::jemalloc::VERSION;
pub use slackwater_layout::slackwater::{
    Choice, Governor, GovernorState, Reason, Settings, Snapshot, Statistics,
};
pub use walk::{Walked, walk};
