//! /proc as values: one opener, and parsers that are pure functions of bytes.
//!
//! Invariant: everything is opened below an injected [`Root`], and everything of one process below
//! a directory handle that was opened once, so a reused pid can never be read by accident. The
//! parsers take any bytes: unknown keys are skipped, hostile names stay names, nothing panics.
//!
//! Must never know: what the numbers mean, how memory is read.

mod below_root;
mod error;
mod parse;
mod process;
mod root;

pub use below_root::{Named, NamedFile};
pub use error::ProcError;
pub use parse::cgroup::{CgroupVersion, Membership, MemoryGroup, MemoryUsage};
pub use parse::lines::Lines;
pub use parse::maps::{MapsError, parse_line as parse_maps_line, read as read_maps};
pub use parse::mounts::{Filesystem, Mount, Mounts};
pub use parse::pagemap::Entry;
pub use parse::smaps::{SmapsReader, Usage, VmFlags};
pub use parse::stat::{Collected, Stat, State};
pub use parse::status::Status;
pub use parse::syscall::Syscall;
pub use process::{Namespace, Process};
pub use root::Root;
