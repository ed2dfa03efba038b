//! Real programs under the agent, recorded: whatever happens to either side, the other lives, and the
//! capture says what it has.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attach;
mod attach_trouble;
mod domains;
mod hazards;
mod native;
mod processes;
mod recording;
mod stacks;
mod trouble;
