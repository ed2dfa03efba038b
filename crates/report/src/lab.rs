//! What an experiment found: the table for terminals, and the page to put before a team.
//!
//! ```text
//! arms       the arms with all that was measured of each
//! words      measures, ratios and verdicts in words        headline  what it comes down to
//! table      the terminal's table
//! page       the page: one HTML file that needs no network and, for reading, no script
//!   tides      live memory against RSS over time, arm by arm
//!   fronts     memory against what it costs
//!   tails      latency by quantile
//!   lines      what to type to have the recommended arm
//! ```
//!
//! Invariant: names, logs and plans are whatever somebody wrote: they are shown, and never act.

mod arms;
mod headline;
mod lines;
mod table;
mod words;

pub use table::table;
