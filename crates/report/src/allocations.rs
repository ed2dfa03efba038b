//! What a recording says: who allocates, who keeps, and each process of the service.
//!
//! Invariant: a number that comes from samples stands beside what it may be off by; what is missing from
//! the capture is said below every table and in every document.

mod doubts;
mod json;
mod rows;
mod table;
mod words;

pub(crate) use doubts::{before, doubts};
pub use json::{by_stack_json, statistics_json};
pub use rows::{Grouping, Measure, Row, Unit, rows};
pub(crate) use table::place;
pub use table::{Question, by_stack, statistics};
pub(crate) use words::{NO_ENDPOINT, NO_PYTHON, amount, between, bytes_of, endpoint, extent, line, who};
