//! The load of one round: requests over HTTP/1.1, sent on time, every answer checked and timed.
//!
//! ```text
//! arrivals    when request n is due: the open model             (pure)
//! users       when a user asks again: the closed model          (pure)
//! template    `{n}` and `{random:A..B}`                         (pure)
//! mix         request n as bytes, and what its answer must be   (pure)
//! answer      the bytes of an answer, understood piece by piece (pure), with `chunks` and `search`
//! connection  one socket that never blocks
//! timer       a wake-up without the millisecond steps of epoll
//! generator   the loop: due requests on to free connections
//! tally       counts and histograms
//! ```
//!
//! Latency counts from when a request was due, so a service that stalls is seen to stall (no coordinated
//! omission): while all connections are busy requests wait, and that wait is the service's. What the
//! generator itself is late by is kept apart. Nothing is tried again, save what met a kept-alive connection
//! that the service was closing: that is sent once more, and counted.
//!
//! Invariant: memory does not grow with time, rate or what the service sends; every request that was due
//! ends in exactly one of right, wrong, timeout, failed.

mod answer;
mod arrivals;
mod chunks;
mod connection;
mod error;
mod generator;
mod mix;
mod search;
mod tally;
mod template;
mod timer;
mod users;

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

pub use self::error::{LoadError, RequestError};

use self::arrivals::Arrivals;
use self::generator::Generator;
use self::mix::Mix;
use self::users::Users;
use crate::plan::{Load, Request};
use crate::result::Answers;

/// A load that was sent to its end.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// When the first request was due.
    pub from: Instant,
    /// When the last answer was in, and not before the load's duration was over.
    pub until: Instant,
    /// What was seen.
    pub answers: Answers,
}

/// How far a load is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Since the first request was due.
    pub elapsed: Duration,
    /// Requests that were sent or given up.
    pub n_due: u64,
    /// Right answers.
    pub n_right: u64,
    /// All that ended otherwise.
    pub n_bad: u64,
}

/// Loads the service at `127.0.0.1:port`. Blocks until every answer is in or was given up; `on_progress` is
/// called on this thread, some twenty times a second. The generator has a thread of its own, on `cpus` alone
/// unless that is empty. The same `seed` gives the same requests in the same order.
///
/// # Errors
/// When the generator cannot do its part, or `cancel` became true. Whatever the service does is counted.
pub fn run(
    load: &Load,
    port: u16,
    seed: u64,
    cpus: &[usize],
    cancel: &AtomicBool,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Loaded, LoadError> {
    let http = match load {
        Load::Open { http, .. } | Load::Closed { http, .. } => http,
        Load::External { .. } | Load::Work => return Err(LoadError::NotHttp),
    };
    let mix = Mix::new(&http.requests, port, seed)?;
    let (progress, seen) = sync_channel(1);
    thread::scope(|scope| {
        let generator = scope.spawn(move || {
            pin(cpus)?;
            let generator =
                |n_connections| Generator::new(n_connections, http.timeout, mix, port, cancel, progress);
            match load {
                Load::Open { steps, .. } => generator(http.connections)?.run(Arrivals::new(steps)),
                // The rest would never be used.
                Load::Closed { users, think, duration, .. } => {
                    generator(http.connections.min(*users))?.run(Users::new(*users, *think, *duration))
                }
                Load::External { .. } | Load::Work => Err(LoadError::NotHttp),
            }
        });
        // Ends when the generator drops its end.
        seen.iter().for_each(on_progress);
        generator.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether every request can be sent as it is written.
///
/// # Errors
/// The first thing that no server would understand, or that would be sent as it stands by mistake.
pub fn check(requests: &[Request]) -> Result<(), RequestError> {
    Mix::new(requests, 0, 0).map(drop)
}

/// Keeps this thread on some processors.
fn pin(cpus: &[usize]) -> Result<(), LoadError> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    sched_setaffinity(None, &set)
        .map_err(|source| LoadError::Pin { cpus: cpus.to_vec(), source: source.into() })
}
