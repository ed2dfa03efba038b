//! Recording that begins in a process that already runs, and ends before it does.
//!
//! ```text
//! tool ── dlopen ─▶ constructor       finds the real functions, changes nothing
//! tool ── attach ─▶ slots::take       every loaded object calls the hooks; they only pass on
//!                   domains::take     so does Python, in front of its own allocators
//!                   ends::take        in exact mode, in front of the end of code objects
//!                   process::start    now they record
//! tool ── detach ─▶ process::stop     now they only pass on
//!                   ends::give_back, domains::give_back, slots::give_back
//!                                     everybody calls the real functions again
//! ```
//!
//! Invariants: hooks are in place everywhere before anything is recorded, and recording has ended before
//! one is taken away, so no free is missed of what was seen allocated. The library stays mapped for good:
//! whoever was in a hook, or has copied its address, goes on. Nothing waits for a lock without an end but
//! `dlopen` and `dlsym`, which take that lock themselves.
#![allow(unsafe_code)] // the functions that the tool calls

mod definition;
mod home;
mod list;
mod loader;
mod names;
mod objects;
mod slots;

use core::ffi::c_int;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};

use slackwater_capture::transport::late::{Late, REPORT_WORDS};

pub(crate) use definition::definition;
pub(crate) use home::Home;
pub(crate) use slots::release_mappings_of;

use crate::start;
use crate::{domains, process, python, real};

/// What came of the last call, for the tool to read.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // a C name
pub(crate) static slackwater_agent_report: [AtomicU64; REPORT_WORDS] =
    [const { AtomicU64::new(0) }; REPORT_WORDS];

/// # Safety
/// The locks are the loader's own, or null.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn slackwater_agent_attach(
    session: c_int,
    load_lock: *mut loader::Mutex,
    list_lock: *mut loader::Mutex,
) {
    // SAFETY: the caller's.
    let locks = unsafe { loader::Locks::new(load_lock, list_lock) };
    report(attach(session, locks));
}

/// # Safety
/// As for `slackwater_agent_attach`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn slackwater_agent_detach(
    load_lock: *mut loader::Mutex,
    list_lock: *mut loader::Mutex,
) {
    // SAFETY: the caller's.
    let locks = unsafe { loader::Locks::new(load_lock, list_lock) };
    report(detach(locks));
}

fn attach(session: c_int, locks: Option<loader::Locks>) -> Late {
    let Some(locks) = locks else { return Late::LoaderUnknown };
    // Held to the end: no object comes, goes or is still being relocated.
    let _held = match locks.try_hold() {
        Ok(held) => held,
        Err(why) => return why,
    };
    if process::is_listened_to() {
        return Late::Taken;
    }
    let (session, own) = match start::open(session) {
        Ok(opened) => opened,
        Err(why) => return why,
    };
    // Of a session whose tool has died.
    process::stop();
    if !real::is_preloaded() {
        names::find();
        loader::remember(locks);
        let taken = slots::take();
        slackwater_agent_report[2].store(taken.n_changed, Relaxed);
        slackwater_agent_report[3].store(taken.n_refused, Relaxed);
    }
    let heard = domains::take(session.settings().python_allocators);
    slackwater_agent_report[4].store(heard as u64, Relaxed);
    if start::begin(session, own) { Late::Attached } else { Late::NoMemory }
}

fn detach(locks: Option<loader::Locks>) -> Late {
    process::stop();
    python::ends::give_back();
    domains::give_back();
    let Some(locks) = locks else { return Late::LoaderUnknown };
    let _held = match locks.try_hold() {
        Ok(held) => held,
        Err(why) => return why,
    };
    if !real::is_preloaded() {
        let given_back = slots::give_back();
        slackwater_agent_report[2].store(given_back.n_changed, Relaxed);
        slackwater_agent_report[3].store(given_back.n_refused, Relaxed);
    }
    Late::Detached
}

fn report(outcome: Late) {
    slackwater_agent_report[1].store(outcome as u64, Relaxed);
    // Release: whoever sees the count sees the rest.
    slackwater_agent_report[0].fetch_add(1, Release);
}
