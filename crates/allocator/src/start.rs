//! What happens when the loader has mapped the library: once, before `main`, in one thread.
//!
//! Invariant: `malloc` has served for a while already by then; nothing here is needed for it to serve.
#![allow(unsafe_code)] // the table of constructors

use crate::mallctl::names;
use crate::{block, fork, governor, objects, options, preload, program, statistics, sys};
use core::ffi::{CStr, c_char};
use core::sync::atomic::Ordering::Relaxed;

/// `on`: govern any program; `off`: none; otherwise Python only.
const SWITCH: &CStr = c"SLACKWATER_GOVERNOR";

slackwater_inside::constructor!(start);

#[cfg_attr(test, allow(dead_code))] // no constructor in the test's own process
extern "C" fn start() {
    // Another library, preloaded before this one, may be the malloc of this process: then jemalloc here
    // holds nothing, and there is nothing to govern.
    if !serves() {
        return;
    }
    statistics::publish_settings(options::n_refused());
    fork::watch();
    sys::find_real_functions();
    let embeds_python = program::embeds_python();
    if embeds_python {
        preload::take_out();
        objects::install();
    }
    match switch() {
        Switch::Off => {
            block::publish(|block| {
                block.governor.store(slackwater_layout::slackwater::GovernorState::Off as u32, Relaxed);
            });
        }
        Switch::On => governor::start(),
        Switch::Python if embeds_python => governor::start(),
        Switch::Python => {}
    }
}

/// A block from the process's malloc is on this jemalloc's account. The address of `malloc` would not
/// tell: in a program that is not position-independent it is a stub of the program's own.
fn serves() -> bool {
    let Some(allocated) = names::THREAD_ALLOCATED.resolve() else { return false };
    let before = allocated.read();
    sys::allocate_and_free(64);
    before.is_some() && allocated.read() != before
}

enum Switch {
    Off,
    On,
    Python,
}

fn switch() -> Switch {
    let value: *const c_char = sys::secure_getenv(SWITCH.as_ptr());
    if value.is_null() {
        return Switch::Python;
    }
    // SAFETY: a string of the environment.
    match unsafe { CStr::from_ptr(value) }.to_bytes() {
        b"off" | b"0" | b"false" | b"no" => Switch::Off,
        b"on" | b"1" | b"true" | b"yes" => Switch::On,
        _ => Switch::Python,
    }
}
