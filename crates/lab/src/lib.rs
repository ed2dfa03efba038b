//! Experiments on the memory of a service: several arms, the same load, one clock, an honest comparison.
//!
//! ```text
//! load       requests over HTTP, sent on time, every answer checked and timed
//! measure    the numbers that arms are compared by
//! plan       what is to be done: service, arms, load, schedule, limits
//! result     what was measured, whole: saved after every trial, read back to resume
//! ```
//!
//! Invariant: every arm gets the same requests in the same order; every number comes from outside the
//! service, on the monotonic clock of this process; what could not be measured is absent, never zero.
//!
//! Must never know: how a heap is walked, how a process is read, terminals, HTML.

pub mod load;
pub mod measure;
pub mod plan;
pub mod result;
