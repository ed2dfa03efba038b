//! Finding a service on a host: from any of its pids, by name, by cgroup, or every one.

mod command;
mod select;
mod snapshot;
mod table;
mod tree;

pub use command::{Command, Form};
pub use select::{SelectError, Selector, select};
pub use table::{ProcessTable, Row};
pub use tree::{Member, Service, descendants};
