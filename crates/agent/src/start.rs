//! What happens when the loader has mapped the agent: once, before `main`, in one thread.
//!
//! Invariant: without a session nothing is changed, and the hooks only pass on.
#![allow(unsafe_code)] // the table of constructors

use core::ffi::CStr;

use slackwater_capture::transport::Session;

use crate::{process, python, real, sys};

/// Where the shared memory is.
const VARIABLE: &CStr = c"SLACKWATER_RECORD";

/// Less than this is no session, more is none either.
const SESSION_BYTES: core::ops::Range<usize> = 4096..8 << 30;

slackwater_inside::constructor!(start);

#[cfg_attr(test, allow(dead_code))] // no constructor in the test's own process
extern "C" fn start() {
    real::find();
    let Some(path) = sys::environment(VARIABLE) else { return };
    let Some((descriptor, n_bytes)) = sys::shared_length(path) else { return };
    if !SESSION_BYTES.contains(&n_bytes) {
        return;
    }
    let Some(shared) = sys::map_shared(descriptor, n_bytes) else { return };
    let Ok(session) = Session::open(shared) else { return };
    let Some(words) = sys::map_private(sys::PRIVATE_WORDS) else { return };
    process::start(session, words, python::find());
}
