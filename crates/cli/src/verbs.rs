//! One file per verb. Each holds the verb's manual and wires the libraries together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::exit::{Exit, Failure};

pub(crate) mod advise;
mod capture;
pub(crate) mod completions;
pub(crate) mod diagnose;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod flamegraph;
mod jemalloc;
pub(crate) mod lab;
pub(crate) mod live;
mod look;
pub(crate) mod man;
pub(crate) mod mark;
mod output;
pub(crate) mod record;
pub(crate) mod recorder;
pub(crate) mod run;
pub(crate) mod stats;
mod surroundings;
pub(crate) mod table;
pub(crate) mod trim;
pub(crate) mod verify;

/// A flag that Ctrl-C sets, for verbs that have something to say when they are interrupted.
fn interruptible() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the program as it would have without us.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|error| Failure::new(Exit::Bug, "cannot wait for Ctrl-C").caused_by(&error))?;
    }
    Ok(flag)
}

/// Waits until `deadline`, with a `tick` every 50 ms. `false` as soon as `interrupted` is set.
fn paused_until(deadline: Instant, interrupted: &AtomicBool, mut tick: impl FnMut()) -> bool {
    const STEP: Duration = Duration::from_millis(50);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || interrupted.load(Ordering::Relaxed) {
            return !interrupted.load(Ordering::Relaxed);
        }
        tick();
        std::thread::sleep(left.min(STEP));
    }
}
