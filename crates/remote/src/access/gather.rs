//! Collects the facts. The only part that looks at a process.

use std::fs::File;

use rustix::fs::AtFlags;
use slackwater_base::Pid;
use slackwater_procfs::{Process, Root, State, Status};

use super::facts::{Credentials, Facts, Namespaces, Relation, Target, Yama};
use super::{Container, Image, attempt};

impl Facts {
    /// Looks at `pid` and tries what may be done with it.
    pub fn gather(root: &Root, pid: Pid) -> Self {
        let mut attempts = Vec::new();
        if root.is_host() {
            attempts.push(attempt::pidfd(pid));
        }
        // Rights belong to threads: what counts is this thread's, not the main one's.
        let us = std::fs::read(root.path().join("thread-self/status")).unwrap_or_default();
        let process = root.process(pid).ok();
        let target = process.as_ref().and_then(|process| target(root, process));
        if let (Some(process), Some(target)) = (&process, &target)
            && !target.is_kernel_thread
            && target.state != State::Zombie
        {
            attempts.extend(attempt::all(root, process));
        }
        Self {
            pid,
            target,
            us: credentials(&Status::parse(&us)),
            yama: root.sysctl("kernel/yama/ptrace_scope").and_then(|scope| scope.parse().ok()).map(Yama),
            kernel: root.sysctl("kernel/osrelease").unwrap_or_else(|| "of unknown release".to_owned()),
            container: Container::ours(root),
            attempts,
        }
    }
}

fn target(root: &Root, process: &Process) -> Option<Target> {
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let credentials = credentials(&status);
    Some(Target {
        state: stat.state,
        parent: Pid(stat.ppid),
        is_kernel_thread: stat.is_kernel_thread(),
        tracer: status.tracer.filter(|tracer| *tracer != 0).map(|tracer| named(root, Pid(tracer))),
        is_dumpable: is_dumpable(process, &credentials),
        has_shadow_stack: status.x86_features.iter().any(|feature| feature == "shstk"),
        namespaces: Namespaces {
            pid: relation(root, process, "pid"),
            mount: relation(root, process, "mnt"),
            user: relation(root, process, "user"),
        },
        image: process
            .open("exe")
            .map_err(|error| error.to_string())
            .and_then(|file: File| Image::read(&file)),
        namespace_pids: status.ns_pids,
        name: status.name,
        credentials,
    })
}

fn credentials(status: &Status) -> Credentials {
    Credentials {
        uids: status.uids.unwrap_or_default(),
        gids: status.gids.unwrap_or_default(),
        capabilities: status.capabilities.unwrap_or_default(),
        seccomp: status.seccomp.unwrap_or_default(),
    }
}

fn named(root: &Root, pid: Pid) -> (Pid, String) {
    let stat = root.process(pid).and_then(|process| process.stat());
    (pid, stat.map_or_else(|_| "of another pid namespace".to_owned(), |stat| stat.comm))
}

/// The kernel gives the files of a process that is not dumpable to root. Its directory alone keeps
/// the real owner, so a file in it is asked.
fn is_dumpable(process: &Process, credentials: &Credentials) -> Option<bool> {
    let owner = rustix::fs::statat(process.directory(), "maps", AtFlags::SYMLINK_NOFOLLOW).ok()?.st_uid;
    match credentials.uids[1] {
        user if owner != user => Some(false),
        0 => None,
        _ => Some(true),
    }
}

fn relation(root: &Root, process: &Process, kind: &str) -> Relation {
    let ours = rustix::fs::stat(root.path().join("thread-self/ns").join(kind));
    match (process.namespace(kind), ours) {
        (Ok(theirs), Ok(ours)) if (theirs.device, theirs.inode) == (ours.st_dev, ours.st_ino) => {
            Relation::Same
        }
        (Ok(_), Ok(_)) => Relation::Other,
        _ => Relation::Hidden,
    }
}
