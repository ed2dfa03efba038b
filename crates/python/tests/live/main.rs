//! `find` and the walk of pymalloc on real interpreters: every one found on this machine.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]
#![expect(clippy::print_stderr, reason = "a test that covers less than it could must say so")]

mod allocators;
mod churn;
mod forgeries;
mod interpreters;
mod oracle;
mod planted;
mod recording;
mod refusals;
mod statistics;
mod walked;
