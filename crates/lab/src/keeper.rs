//! Starting a program so that nothing of it outlives whoever started it.
//!
//! ```text
//! runner ──► keeper (own session, subreaper) ──► program ──► workers ...
//!    └─ order, then silence; its end is seen as the end of a pipe ─┘
//! ```
//!
//! The keeper is this program started again. It stops everything below itself when it is told to, and when
//! the runner ends for whatever reason: SIGTERM to the program, then SIGKILL to every descendant until none
//! is left, then the control group is removed. Processes that leave their parent come to the keeper, for it
//! is their subreaper; were the keeper itself killed, the program dies with it (its parent death signal) and
//! the rest comes to the runner, which is a subreaper too.
//!
//! Where runner and keeper are killed at the same instant nobody is left to see to the rest; the next run
//! finds it by what the keeper wrote into its environment.
//!
//! Invariant: a keeper ends only when it has no descendant left, or when the kernel does not let go of one,
//! which it says.

mod begin;
mod descendants;
mod group;
mod handle;
mod leftovers;
mod protocol;
mod serve;

pub use begin::begin;
pub use handle::{Keeper, KeeperError};
pub use leftovers::leftovers;
pub use protocol::{End, Gone, Left, Order};
pub use serve::serve;

pub(crate) use handle::Starter;
