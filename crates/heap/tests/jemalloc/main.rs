//! The walk over our library's heap held against jemalloc's own figures, on real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may as well end")]

mod books;
mod churn;
mod classes;
mod corrupt;
mod fork;
mod held;
mod pools;
mod purge;
#[path = "../recorded/mod.rs"]
mod recorded;
