//! What people and programs read: tables for terminals and JSON.
//!
//! Must never know: where the numbers came from.

pub mod allocations;
mod allocator;
mod columns;
pub mod json;
pub mod lab;
pub mod table;
mod text;
pub mod trim;
mod verdict;
pub mod verify;

pub use columns::wrapped;
pub use table::Detail;
pub use text::{Style, visible};
