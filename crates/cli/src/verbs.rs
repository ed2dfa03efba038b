//! One file per verb. Each holds the verb's manual and wires the libraries together.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::exit::{Exit, Failure};

pub(crate) mod completions;
pub(crate) mod diagnose;
pub(crate) mod doctor;
mod look;
pub(crate) mod man;
pub(crate) mod trim;

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
