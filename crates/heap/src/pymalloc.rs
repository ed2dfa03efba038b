//! pymalloc: CPython's allocator for objects up to 512 bytes.
//!
//! Invariant: an arena is reported only when its books balance: in every pool the blocks that were
//! ever handed out are the live ones plus the ones on the free chain, and the pools without a live
//! block are as many as the arena says, the ones on its chain and the never carved ones. The target
//! runs meanwhile; what it changed under our eyes is read again, and after a few times shown as
//! unexplained, with a gap.
//!
//! Must never know: what the blocks hold.

mod arena;
mod error;
mod free_list;
mod gaps;
mod pool;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub use error::PymallocError;
pub use walk::walk;
