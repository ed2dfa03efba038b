//! The table and the page of an experiment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

mod browser;
mod experiment;
mod page;
mod schema;
mod table;
