//! What the fault tests share: victims with a progress counter, and looking at them from outside.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use slackwater_inject::recipe::GLIBC_TRIM;
use slackwater_inject::{Call, InjectError, Options, Outcome, Target};
use slackwater_procfs::{Process, Root};
use slackwater_testkit::{Program, Target as Victim};

/// Starts a C victim.
pub(crate) fn victim(name: &str, source: &str) -> Victim {
    Program::c(name, source).unwrap().spawn().unwrap()
}

pub(crate) fn process(victim: &Victim) -> Process {
    Root::host().process(victim.pid()).unwrap()
}

/// `malloc_trim(0)` in a process.
pub(crate) fn trim(process: &Process, options: &Options) -> Result<Outcome, InjectError> {
    let target = Target::open(process)?;
    let call = trim_call(&target);
    target.call(&call, options)
}

pub(crate) fn trim_call(target: &Target<'_>) -> Call {
    GLIBC_TRIM.resolve(target).unwrap().expect("the victim has glibc")
}

/// Waits until `done`; panics with `what` when it takes unreasonably long.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::yield_now();
    }
}
