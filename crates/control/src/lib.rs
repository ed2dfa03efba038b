//! The governor's judgement: from what is seen of a process to what its allocator should do.
//!
//! ```text
//! sample ──> activity ──> idle or busy ─┐
//!        ──> pressure ──> pressed ──────┼─> decision: purge? decay? when to look again, and at what
//!        ──> lesson   ──> how soon ─────┘
//! ```
//!
//! Invariant: pure. [`decide`] is a function of the policy, its own state and the sample; it allocates
//! nothing, and any numbers are bearable: clocks that stand or jump, counters that run backwards, heaps
//! of all sizes.
//!
//! Must never know: jemalloc, clocks, threads, control groups.
#![cfg_attr(not(test), no_std)]

mod activity;
mod decision;
mod lesson;
mod peak;
mod policy;
mod pressure;
mod sample;

pub use decision::{DecayChange, Decision, Look, State, decide};
pub use policy::{Policy, Setting};
pub use sample::{Heap, Limit, Sample};
pub use slackwater_layout::slackwater::{GovernorState, Reason};
