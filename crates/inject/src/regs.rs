//! The registers of a stopped thread, one sibling file per architecture.

mod x86_64;

pub(crate) use x86_64::{Interrupted, Registers, SYSCALL_INSTRUCTION};
