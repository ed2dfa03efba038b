//! `find` and the walk of pymalloc on real interpreters: every one found on this machine.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod allocators;
mod oracle;
mod planted;
mod statistics;
mod walked;
