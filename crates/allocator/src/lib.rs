//! `libslackwater_alloc.so`: jemalloc, unmodified, as the malloc of a whole process, with defaults that
//! give memory back, a governor that purges when the process has nothing better to do, and both of them
//! alive in every forked child.
//!
//! ```text
//! program ── malloc, free ... ─▶ shims ──────────▶ jemalloc ◀── mallctl ── governor ─▶ block
//!            malloc_trim, mallinfo ▶ memory_info ──▶                          ▲           ▲
//! CPython ── small objects ────▶ objects ────────▶                            │           │
//! loader ─── constructor ─▶ start ── options, fork, children ─────────────────┘     read from outside
//! ```
//!
//! Invariants: no standard library, no memory but jemalloc's and the stack's, no panic that could reach
//! the program, no file written, no signal used. A request never waits for the governor longer than it
//! would for jemalloc's own statistics. Where something cannot be known or started, the process runs on
//! as it would have with plain jemalloc.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `MALLOC_CONF`, `_RJEM_MALLOC_CONF` | jemalloc's options, stronger than ours: `options` |
//! | `SLACKWATER_GOVERNOR` | `on`: in any program; `off`: in none; otherwise in Python: `start` |
//! | `SLACKWATER_POLICY` | thresholds of the governor, `name:value,...`: `policy` |
//! | `PYTHONMALLOC` | where it is set it decides, and Python's small objects get no pools of ours: `objects` |
//! | `SLACKWATER_INHERIT` | `all`: the preload stays in the environment of every child: `preload` |
//!
//! Known limits. The governor is a thread: CPython since 3.12 says of any process with threads that
//! `os.fork` may deadlock (a `DeprecationWarning`, silent by default outside `__main__`). A fork waits
//! for a purge that is under way. Under a tight limit on address space (`ulimit -v`) jemalloc's alignment
//! and its kept ranges take about a quarter of it. A program is not helped that is statically linked.
//!
//! Must never know: what the governor's numbers mean (`control` decides), who reads the block.
#![cfg_attr(not(test), no_std)]
// Unit tests are of the pure parts, in a process that keeps its own malloc.
#![cfg_attr(test, allow(dead_code))]

// Profiles that unwind (dev, test) borrow the panic handler of the standard library; the `library`
// profile, in which this is shipped, links none of it.
#[cfg(all(not(test), not(panic = "abort")))]
extern crate std;

mod block;
mod cgroup;
mod children;
mod decay;
mod fork;
mod governor;
mod limit;
mod mallctl;
mod memory_info;
mod objects;
mod options;
mod policy;
mod preload;
mod processors;
mod program;
#[cfg(not(test))]
mod shims;
mod start;
mod statistics;
mod sys;
#[cfg(not(test))]
mod versions;
