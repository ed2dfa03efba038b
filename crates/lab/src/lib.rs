//! Experiments on the memory of a service: several arms, the same load, one clock, an honest comparison.
//!
//! ```text
//! check      limits: kept or crossed
//! compare    what the trials say: every arm against the first, the front, the arm to take
//! init       a plan to begin with
//! keeper     starting a program so that nothing of it outlives us
//! load       requests over HTTP, sent on time, every answer checked and timed
//! measure    the numbers that arms are compared by
//! observe    what only a look into the service's processes can tell
//! plan       what is to be done: service, arms, load, schedule, limits
//! result     what was measured, whole: saved after every trial, read back to resume
//! run        the whole experiment: turns in random order, saved after each, gone on with
//! sample     memory over time, from outside
//! service    started on a free port, ready, its last words at hand
//! stats      how sure a ratio is
//! trial      one start of the service under one arm
//! tune       the settings that a service should have, searched within a budget
//! warnings   what makes a measurement doubtful
//! ```
//!
//! Invariant: every arm gets the same requests in the same order; every number comes from outside the
//! service, on the monotonic clock of this process; what could not be measured is absent, never zero.
//!
//! Must never know: how a heap is walked, how a process is read, terminals, HTML.

pub mod check;
pub mod compare;
pub mod init;
pub mod keeper;
pub mod load;
pub mod measure;
pub mod observe;
pub mod plan;
pub mod result;
pub mod run;
mod sample;
mod service;
pub mod stats;
pub mod surroundings;
mod trial;
pub mod tune;
pub mod warnings;
