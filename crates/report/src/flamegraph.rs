//! The page of a recording: who held the memory, as a flame graph with memory over time above it.
//!
//! ```text
//! page       one HTML file that asks nothing of any network; without script, a table of the largest lines
//! data       stacks, and for each process what they asked for, in all and in each slice of time
//! columns    how amounts and cells are laid out in the page
//! ```
//!
//! The page's own script (`assets/flamegraph/`) adds up what is chosen: a process, a part of the time, the
//! high-water mark, what was not given back or all that was handed out.
//!
//! Invariant: what is drawn adds up to what the table of the same capture says; names are whatever somebody
//! wrote: they are shown, and never act.

mod columns;
mod data;
mod page;
mod shown;

pub use page::page;
