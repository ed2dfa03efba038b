//! What people and programs read: tables for terminals and JSON.
//!
//! Must never know: where the numbers came from.

pub mod allocations;
mod allocator;
mod columns;
mod embedded;
pub mod export;
pub mod flamegraph;
pub mod json;
pub mod lab;
pub mod live;
pub mod table;
mod text;
pub mod trim;
mod verdict;
pub mod verify;

pub use columns::wrapped;
pub use table::Detail;
pub use text::{Style, visible};
