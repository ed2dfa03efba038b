//! What a recording says: who allocates, who keeps, and each process of the service.
//!
//! Invariant: a number that comes from samples stands beside what it may be off by; what is missing from
//! the capture is said below every table and in every document.

mod json;
mod rows;
mod table;

pub use json::{by_stack_json, statistics_json};
pub use rows::{Measure, Row, rows};
pub use table::{by_stack, statistics};
