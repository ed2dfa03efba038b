//! What a capture comes to: bytes by stack, of every process and of all together, with what sampling
//! leaves open.
//!
//! ```text
//! Capture ─▶ Fold (one per process) ─▶ Profile: merged stacks, usage by stack and thread, processes
//!        ├─▶ Service (running total) ─▶ the moment at which most was live
//!        └─▶ compact ─▶ a capture with sums in place of what is long past
//! ```
//!
//! Invariants: memory grows with distinct stacks and live blocks, not with events, and up to a bound whatever
//! a file claims. A sampled number never goes without its interval. What was lost is counted, and what a lost
//! definition leaves without a name is shown as such.
//!
//! Must never know: terminals, HTML, how events were collected.

mod asked;
mod compaction;
mod demangle;
mod endpoint;
mod estimate;
mod fold;
mod following;
mod former;
mod live;
mod part;
mod process;
mod profile;
mod room;
mod service;
mod stacks;
mod threads;
mod timeline;
mod window;

pub use asked::Asked;
pub use compaction::{CompactError, Compacted, compact};
pub use endpoint::{Endpoint, Endpoints, Kind};
pub use estimate::{Estimate, Interval};
pub use following::Following;
pub use part::{Part, Usage};
pub use process::{Before, ProcessProfile};
pub use profile::{Mark, OverTime, Profile};
pub use service::Peak;
pub use stacks::{Code, Frame, StackId, Stacks};
pub use threads::Thread;
pub use timeline::{Cell, N_SLICES, NEVER, Slices, Timeline};
pub use window::Window;
