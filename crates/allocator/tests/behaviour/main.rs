//! The library in real programs: what they see of it, and what becomes of their memory.
//!
//! Everything here runs under the library as it is shipped (`cargo build --profile library`), or under the
//! one that `SLACKWATER_LIBRARY` names.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

mod children;
mod conformance;
mod dlopen;
mod fork_storms;
mod huge_pages;
mod limits;
mod objects;
mod other_preloads;
mod own_cost;
mod preload;
mod programs;
mod threads;
mod wheels;
mod workers;
