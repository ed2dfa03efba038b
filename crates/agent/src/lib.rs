//! `libslackwater_agent.so`: tells a collector outside what a process allocates, and from where.
//!
//! ```text
//! program ── malloc, free ... ─▶ hooks ─▶ the malloc behind ours
//! Python ── its allocators ─▶ domains ─▶ what stood there before
//!                                  │
//!                 sampler ── live ─┤ recorder ─▶ ring ─▶ collector
//!         python::frames, native ──┘    ▲
//! loader ── constructor ─▶ start ───────┘ again in each forked child
//! tool ── attach ─▶ slots ─▶ start ─────┘ in a process that runs already, until detach
//! ```
//!
//! Invariants: no standard library, no memory but what `start` maps, no lock, no panic that could reach
//! the program, no file written, no signal used, no call into Python from a hook. A thread waits for the
//! collector only in exact mode, briefly, and once. Without a collector the hooks only pass on.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SLACKWATER_RECORD` | the shared memory, as a path that can be opened; without it nothing is recorded |
//!
//! Each hook records an allocation after the real call, and a free before it: an address is never seen
//! handed out twice without a free in between.
//!
//! Where it is loaded late, slots of loaded objects are redirected to the hooks (`attach`): calls inside an
//! object that do not go through a slot are not seen, nor are objects in other namespaces (`dlmopen`).
//!
//! Known limits. A child that shares memory with its parent (`vfork`) is recorded as its parent. A program
//! that brings its own malloc inside (statically linked) is not seen. Children inherit the agent.
//!
//! Must never know: who reads the ring, what a report is.
#![cfg_attr(not(test), no_std)]
// Unit tests are of the pure parts, in a process that keeps its own malloc.
#![cfg_attr(test, allow(dead_code))]

// Profiles that unwind (dev, test) borrow the panic handler of the standard library; the `library`
// profile, in which this is shipped, links none of it.
#[cfg(all(not(test), not(panic = "abort")))]
extern crate std;

#[cfg(not(test))]
mod attach;
mod codes;
#[cfg(not(test))]
mod domains;
#[cfg(not(test))]
mod hooks;
mod live;
mod native;
mod pieces;
mod process;
mod python;
mod real;
mod recent;
mod recorder;
mod room;
mod sampler;
mod stacks;
mod start;
mod sys;
mod table;
mod text;
mod thread;
#[cfg(not(test))]
mod versions;
