//! The load generator against real servers: threads of this test that answer as they are told, gunicorn, wrk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what was not tested is said")]

mod bounds;
mod loads;
mod models;
mod real;
mod server;
mod wrong;
