//! What the tests on real interpreters share: a planted program with its own statistics as oracle.

mod oracle;
mod planted;
mod walked;

pub use oracle::Statistics;
pub use planted::{Planted, open};
pub use walked::Walked;
