//! The load generator against real servers: threads of this test that answer as they are told, gunicorn, wrk.

mod bounds;
mod loads;
mod models;
mod server;
mod wrong;
