//! How recording begins: once, before `main`, in one thread, when the loader has mapped the agent; or at any
//! time, when the tool has asked for it.
//!
//! Invariant: without a session nothing is changed, and the hooks only pass on.

use core::ffi::CStr;

#[cfg(not(test))]
use slackwater_capture::transport::Mode;
use slackwater_capture::transport::Session;
use slackwater_capture::transport::late::Late;

use crate::process::{self, Own};
use crate::{python, real, sys};

/// Where the shared memory is.
const VARIABLE: &CStr = c"SLACKWATER_RECORD";

/// Less than this is no session, more is none either.
const SESSION_BYTES: core::ops::Range<usize> = 4096..8 << 30;

slackwater_inside::constructor!(start);

#[cfg_attr(test, allow(dead_code))] // no constructor in the test's own process
extern "C" fn start() {
    real::find();
    if !real::is_preloaded() {
        // Loaded by the tool, which will say when.
        return;
    }
    let Some(path) = sys::environment(VARIABLE) else { return };
    let Some(descriptor) = sys::open_shared(path) else { return };
    if let Ok((session, own)) = open(descriptor) {
        #[cfg(not(test))]
        {
            crate::attach::release_mappings_of(real::malloc_address());
            crate::domains::take(session.settings().python_allocators);
        }
        begin(session, own);
    }
}

/// The session in an open file, which is closed, and memory of our own to go with it.
pub(crate) fn open(descriptor: i32) -> Result<(Session<'static>, Own), Late> {
    let n_bytes = sys::shared_length(descriptor);
    let n_bytes = if SESSION_BYTES.contains(&n_bytes) { n_bytes } else { 0 };
    let reads_native = sys::first_words(descriptor).is_some_and(|first| Session::reads_native(&first));
    let mapped = sys::map_session(descriptor, n_bytes, Own::n_words(reads_native));
    let (shared, own) = mapped.ok_or(if n_bytes == 0 { Late::NotASession } else { Late::NoMemory })?;
    let session = Session::open(shared).map_err(|_| Late::NotASession)?;
    Ok((session, Own::new(own).ok_or(Late::NoMemory)?))
}

/// Records from now on; whether there was memory for it. Asks the loader.
pub(crate) fn begin(session: Session<'static>, own: Own) -> bool {
    let python = python::find();
    #[cfg(not(test))]
    if let (Mode::Exact, Ok(python)) = (session.settings().mode, &python) {
        python::ends::take(python.code_type);
    }
    process::start(session, own, python)
}
