//! What an experiment found: the table for terminals, and the page to put before a team.
//!
//! ```text
//! arms       the arms with all that was measured of each
//! words      measures, ratios and verdicts in words        headline  what it comes down to
//! table      the terminal's table
//! page       the page: one HTML file that needs no network and, for reading, no script
//!   tides      live memory against RSS over time, arm by arm
//!   live       at which moments live memory is known
//!   fronts     memory against what it costs
//!   tails      latency by quantile
//!   rows       the table that can be sorted
//!   series     the data of the chart that can be looked into
//!   lines      what to type to have the recommended arm
//! ```
//!
//! Invariant: names, logs and plans are whatever somebody wrote: they are shown, and never act.

mod arms;
mod axis;
mod fronts;
mod headline;
mod lines;
mod live;
mod page;
mod places;
mod rows;
mod series;
mod svg;
mod table;
mod tails;
mod thinned;
mod tides;
mod words;

pub use page::page;
pub use table::table;
