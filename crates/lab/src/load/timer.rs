//! A wake-up at a moment: epoll's own timeout has steps of a millisecond, and may come later by the slack of
//! the thread; a timer of the kernel has neither.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// One wake-up at a time. It is never read: who waits for edges is woken by each expiry.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: OwnedFd,
    armed: Option<Duration>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let descriptor =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { descriptor, armed: None })
    }

    /// Wakes at `at` instead of what was set before; both moments count from the same zero.
    pub(super) fn arm(&mut self, at: Duration, now: Duration) -> io::Result<()> {
        if self.armed == Some(at) {
            return Ok(());
        }
        // Zero would disarm it.
        let left = at.saturating_sub(now).max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.descriptor,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: value },
        )?;
        self.armed = Some(at);
        Ok(())
    }

    /// It woke somebody.
    pub(super) fn expired(&mut self) {
        self.armed = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
