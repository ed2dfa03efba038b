//! Every process below one, and their end.
//!
//! Invariant: a signal goes to the process that was seen, never to another one with its number.

use std::collections::BTreeMap;

use rustix::process::{PidfdFlags, Signal};
use slackwater_base::Pid;
use slackwater_procfs::{Process, Root, State};

/// A process below another.
#[derive(Debug)]
pub(super) struct Descendant {
    pub(super) process: Process,
    pub(super) name: String,
}

/// Every process below `ancestor` that has not ended, nearest first.
pub(super) fn below(root: &Root, ancestor: Pid) -> Vec<Descendant> {
    let mut children: BTreeMap<i32, Vec<Descendant>> = BTreeMap::new();
    let mut parents_of_zombies: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in root.pids().unwrap_or_default() {
        let Ok(process) = root.process(pid) else { continue };
        let Ok(stat) = process.stat() else { continue };
        if stat.state == State::Zombie {
            parents_of_zombies.entry(stat.ppid).or_default().push(pid.0);
        } else {
            children.entry(stat.ppid).or_default().push(Descendant { process, name: stat.comm });
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![ancestor.0];
    while let Some(parent) = parents.pop() {
        // A leader that has ended while other threads go on is a zombie with children.
        parents.extend(parents_of_zombies.remove(&parent).unwrap_or_default());
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.process.pid().0);
            found.push(child);
        }
    }
    found
}

/// Sends `signal` to a process, if it is still the one that was seen.
pub(super) fn send(process: &Process, signal: Signal) {
    let Some(pid) = rustix::process::Pid::from_raw(process.pid().0) else { return };
    // A handle first, then the check: what the handle holds cannot become another process any more.
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) if process.is_same() => {
            // Fails for one that has ended meanwhile, which is what is wanted.
            let _ = rustix::process::pidfd_send_signal(handle, signal);
        }
        Ok(_) => {}
        // Kernels before 5.3 have no such handles.
        Err(rustix::io::Errno::NOSYS) if process.is_same() => {
            let _ = rustix::process::kill_process(pid, signal);
        }
        Err(_) => {}
    }
}
