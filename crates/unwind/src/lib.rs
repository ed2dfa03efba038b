//! Stacks of native code: the tables that say how each instruction's caller is found, and the walk over them.
//!
//! ```text
//! outside   .eh_frame ─▶ rows and rules ─▶ Region ─┐  memory shared with the process
//! inside    registers ─▶ walk ◀── rule of a pc ◀───┘  ─▶ return addresses
//! ```
//!
//! Frame information as compilers write it is a program for a small machine. Running that inside somebody
//! else's process, in the middle of an allocation, is what other tracers do and what goes wrong there. So it
//! is run outside, once for each file, and inside there is only a binary search (as Linux does for its own
//! stacks: Documentation/arch/x86/orc-unwinder.rst).
//!
//! Invariants: pure; nothing here panics, allocates, locks or loops without a bound, whatever the words
//! hold. Where no rule is known the walk ends and says so: no frame is ever guessed.
//!
//! Must never know: ELF, DWARF, Python.
#![no_std]

#[cfg(test)]
extern crate std;

mod region;
mod rule;
mod table;
mod walk;

pub use region::{Entry, List, Lookup, Region, SLOT_WORDS, Slot};
pub use rule::{Base, Cfa, RULE_WORDS, Rule, Saved};
pub use table::{Row, TableAt, row};
pub use walk::{Ended, Memory, Registers, Step, step};
