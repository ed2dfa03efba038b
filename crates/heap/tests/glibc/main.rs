//! The glibc walk held against glibc's own figures, on real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may as well end")]

mod books;
mod churn;
mod corrupt;
mod held;
#[path = "../recorded/mod.rs"]
mod recorded;
mod refusals;
mod roots;
mod trim;
