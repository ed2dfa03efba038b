//! From facts to a verdict: where every resident byte of a service is, what that means, what to do.
//!
//! Invariant: nothing here prints, starts, stops or opens a process. Facts come in as values and as
//! [`slackwater_memory::Memory`]; a [`Diagnosis`] goes out. What could not be learnt is in it as a
//! gap, what the kernel counts and we cannot place is in it as `unexplained`.
//!
//! Must never know: terminals, HTML, JSON, command lines of the binary other than in advice.

mod advice;
mod cgroup;
mod conclude;
mod finding;
mod growth;
mod model;
mod rules;
mod service;
pub mod serving;
pub mod thresholds;
mod xray;

pub use conclude::conclude;
pub use finding::{Advice, Code, Confidence, Evidence, Finding, Kind, Quantity, When};
pub use growth::Series;
pub use model::{
    Cgroup, Diagnosis, Growth, HeapReport, Jemalloc, Malloc, MallocKind, ObjectAllocator, ProcessReport,
    PythonReport, Role, Scope, ServiceReport, Sharing, Slope, Subject, Trend,
};
pub use service::{
    Command, Form, Member, ProcessTable, Row, SelectError, Selector, Service, descendants, select,
};
pub use xray::{survey, xray};
