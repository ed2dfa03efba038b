//! What a capture comes to: bytes by stack, of every process and of all together, with what sampling
//! leaves open.
//!
//! ```text
//! Capture ─▶ Fold (one per process) ─▶ Profile: merged stacks, usage by stack, processes
//! ```
//!
//! Invariants: memory grows with distinct stacks and live blocks, not with events. A sampled number never
//! goes without its interval. What was lost is counted, and what a lost definition leaves without a name
//! is shown as such.
//!
//! Must never know: terminals, HTML, how events were collected.

mod estimate;
mod fold;
mod live;
mod profile;
mod stacks;

pub use estimate::{Estimate, Interval};
pub use profile::{ProcessProfile, Profile, Usage};
pub use stacks::{Frame, StackId, Stacks};
