//! What std cannot do for a child: tie its life to ours, kill its whole group, wait with a limit.
#![allow(unsafe_code, reason = "these system calls have no safe wrapper in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Makes the child die with the thread that starts it, even when that is killed outright. The
/// setting survives `execve`, so it also covers a program started through `chroot`.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs in the child between fork and exec. It makes one raw system call and
    // neither allocates nor takes a lock, so it cannot meet a lock that another thread held at fork.
    unsafe {
        command.pre_exec(set_death_signal);
    }
}

fn set_death_signal() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number by value and touches no memory of ours.
    let answer = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills a whole process group. Errors are not of interest: the group may be gone already.
pub(crate) fn kill_group(leader: i32) {
    // SAFETY: kill takes two integers. `leader` is a child of ours that has not been waited for, so
    // its number cannot have been given to a stranger.
    unsafe {
        libc::kill(-leader, libc::SIGKILL);
    }
}

/// Sends a signal to one process that is a child of ours and not yet waited for.
pub(crate) fn signal(pid: i32, number: i32) {
    // SAFETY: as in `kill_group`.
    unsafe {
        libc::kill(pid, number);
    }
}

/// Whether a child of ours, not yet waited for, ends within this time. It stays to be waited for.
pub(crate) fn exits_within(pid: i32, limit: Duration) -> bool {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let Ok(number @ 0..) = i32::try_from(answer) else { return false };
    // SAFETY: the kernel has just made this descriptor for us, so nothing else owns it.
    let handle = unsafe { OwnedFd::from_raw_fd(number) };
    let mut wanted = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `wanted` is one valid pollfd, alive during the call, and the count says one.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, limit_ms) };
    ready == 1
}
