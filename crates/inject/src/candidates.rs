//! Which thread to try first.
//!
//! Invariant: looks without stopping anything. The order is a preference, never a proof.
//!
//! A wait is begun again after the call, so first come threads for which that changes nothing: waits
//! without a timeout, until a point in time, or whose remaining time the kernel writes back. A wait
//! for a duration starts again in full length: it comes after those. Running threads come last: they
//! are seldom at a safe point. The main thread comes after others of its kind, because signals sent
//! to the process go to it first, and wait while all are blocked.

use slackwater_base::{Addr, Tid};
use slackwater_procfs::{Process, State, Syscall};

/// How well a thread suits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fit {
    /// Its wait goes on exactly.
    Exact,
    /// Its wait starts again in full length.
    Relative,
    /// It runs.
    Running,
}

/// A thread worth trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    pub(crate) tid: Tid,
    /// Its program counter and stack pointer; `None` for a running thread.
    pub(crate) blocked: Option<(Addr, Addr)>,
}

/// The threads worth trying, best first.
pub(crate) fn candidates(process: &Process) -> Vec<Candidate> {
    let main = process.pid().main_thread();
    let mut threads: Vec<_> = process
        .tasks()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|tid| {
            let stat = process.task_stat(tid).ok()?;
            if !matches!(stat.state, State::Running | State::Sleeping) {
                return None;
            }
            // What cannot be seen is treated like a running thread.
            let syscall = process.task_syscall(tid).unwrap_or(Syscall::Running);
            let blocked = match syscall {
                Syscall::Call { pc, stack, .. } | Syscall::Blocked { pc, stack } => {
                    Some((Addr(pc), Addr(stack)))
                }
                Syscall::Running => None,
            };
            Some((fit(&syscall), tid == main, Candidate { tid, blocked }))
        })
        .collect();
    threads.sort_unstable_by_key(|(fit, is_main, candidate)| (*fit, *is_main, candidate.tid));
    threads.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// How exactly the wait goes on when it is begun again.
fn fit(syscall: &Syscall) -> Fit {
    let Syscall::Call { number, arguments, .. } = syscall else { return Fit::Running };
    let is_negative = |index: usize| (arguments[index] as i32) < 0;
    let is_exact = match i64::try_from(*number).unwrap_or(-1) {
        // FUTEX_WAIT alone takes a duration; the other operations take a point in time.
        libc::SYS_futex => arguments[1] & 0x7f != 0 || arguments[3] == 0,
        libc::SYS_poll => is_negative(2),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => is_negative(3),
        libc::SYS_epoll_pwait2 => arguments[3] == 0,
        libc::SYS_nanosleep => false,
        libc::SYS_clock_nanosleep => arguments[1] & libc::TIMER_ABSTIME as u64 != 0,
        libc::SYS_rt_sigtimedwait => arguments[2] == 0,
        libc::SYS_semtimedop => arguments[3] == 0,
        // Its number and arguments are not known, nor what is left of it.
        libc::SYS_restart_syscall => false,
        _ => true,
    };
    if is_exact { Fit::Exact } else { Fit::Relative }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_waits_that_lose_no_time() {
        let check = |number: i64, arguments: [u64; 6], expected: Fit| {
            let syscall = Syscall::Call { number: number as u64, arguments, stack: 0, pc: 0 };
            assert_eq!(fit(&syscall), expected, "{number} {arguments:?}");
        };
        check(libc::SYS_poll, [0, 1, u64::from(u32::MAX), 0, 0, 0], Fit::Exact);
        check(libc::SYS_poll, [0, 1, 1000, 0, 0, 0], Fit::Relative);
        check(libc::SYS_futex, [0, 0x80, 0, 0, 0, 0], Fit::Exact);
        check(libc::SYS_futex, [0, 0x80, 0, 0x7fff, 0, 0], Fit::Relative);
        check(libc::SYS_futex, [0, 0x189, 0, 0x7fff, 0, 0], Fit::Exact);
        check(libc::SYS_clock_nanosleep, [1, 1, 0, 0, 0, 0], Fit::Exact);
        check(libc::SYS_clock_nanosleep, [1, 0, 0, 0, 0, 0], Fit::Relative);
        check(libc::SYS_accept4, [0; 6], Fit::Exact);
        check(libc::SYS_restart_syscall, [0; 6], Fit::Relative);
        assert_eq!(fit(&Syscall::Running), Fit::Running);
        assert!(Fit::Exact < Fit::Relative && Fit::Relative < Fit::Running);
    }
}
