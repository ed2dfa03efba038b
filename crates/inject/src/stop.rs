//! A stopped thread, and how it is let go again.
//!
//! Invariant: whoever holds a [`Stopped`] can drop it at any moment, and the thread goes on as if it
//! had not been stopped: a system call that would now report EINTR for no reason the program knows
//! is begun again instead. If our thread dies, the kernel detaches; if it ends while the tracee has
//! not stopped yet, likewise. That is why every tracer here is a short-lived thread of its own.

use std::io;
use std::time::{Duration, Instant};

use slackwater_base::Tid;
use slackwater_procfs::{Process, Status};

use crate::error::Unsafe;
use crate::regs::{Interrupted, Registers};
use crate::sys::{self, Event};

/// A thread that does not run until this is dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    tid: Tid,
    since: Instant,
    registers: Registers,
    status: Status,
    /// What to do with the registers when the thread is let go.
    release: Release,
    detached: bool,
}

#[derive(Debug)]
enum Release {
    /// As they are.
    Untouched,
    /// Set to these first.
    Restored(Box<Registers>),
}

/// Why a thread could not be stopped.
#[derive(Debug)]
pub(crate) enum StopError {
    /// A reason of the thread's own.
    Thread(Unsafe),
    /// The kernel does not let us.
    Denied(io::Error),
}

impl Stopped {
    /// Stops a thread, or gives up at `deadline`.
    pub(crate) fn stop(process: &Process, tid: Tid, deadline: Instant) -> Result<Self, StopError> {
        let refused = |error: io::Error| match error.raw_os_error() {
            // ECHILD: it was killed, and its own parent was faster than we are.
            Some(libc::ESRCH | libc::ECHILD) => StopError::Thread(Unsafe::Ended),
            _ => StopError::Denied(error),
        };
        sys::seize(tid).map_err(refused)?;
        let since = Instant::now();
        sys::interrupt(tid).map_err(refused)?;
        loop {
            match sys::poll(tid).map_err(refused)? {
                Event::Interrupted => break,
                Event::GroupStop => {
                    // Leaves it in the stop it is in.
                    sys::detach(tid, 0).map_err(refused)?;
                    return Err(StopError::Thread(Unsafe::JobControl));
                }
                Event::Ended => return Err(StopError::Thread(Unsafe::Ended)),
                // It is on its way to a handler: deliver, our stop comes after that.
                Event::Signal(signal) => sys::resume(tid, signal).map_err(refused)?,
                Event::None if Instant::now() >= deadline => {
                    return Err(StopError::Thread(Unsafe::Unstoppable));
                }
                Event::None => wait(since.elapsed()),
            }
        }
        let mut stopped = Self {
            tid,
            since,
            registers: Registers::default(),
            status: Status::default(),
            release: Release::Untouched,
            detached: false,
        };
        // A 32-bit thread has registers of another size.
        stopped.registers = sys::registers(tid).map_err(|_| StopError::Thread(Unsafe::Not64Bit))?;
        stopped.status = process.task_status(tid).map_err(|_| StopError::Thread(Unsafe::Ended))?;
        stopped.hide_interruption();
        Ok(stopped)
    }

    /// Its registers, as the stop has left them.
    pub(crate) const fn registers(&self) -> Registers {
        self.registers
    }

    /// Its status while stopped.
    pub(crate) const fn status(&self) -> &Status {
        &self.status
    }

    /// Sees to it that a wait does not report EINTR merely because we were here. With a signal
    /// pending EINTR is right and stays.
    fn hide_interruption(&mut self) {
        if let Interrupted::WouldReportEintr { number } = self.registers.interrupted()
            && !signal_pending(&self.status)
        {
            self.release = Release::Restored(Box::new(self.registers.reissuing(number)));
        }
    }

    /// Sets the registers to begin a call and lets the thread run. Nothing else is done to it: from
    /// here on it needs nobody.
    pub(crate) fn commit(mut self, registers: &Registers) -> io::Result<Duration> {
        sys::set_registers(self.tid, registers)?;
        self.release = Release::Untouched;
        self.let_go();
        Ok(self.since.elapsed())
    }

    fn let_go(&mut self) {
        if std::mem::replace(&mut self.detached, true) {
            return;
        }
        if let Release::Restored(registers) = &self.release {
            // When this fails the thread is dying, or its wait reports EINTR once.
            let _ = sys::set_registers(self.tid, registers);
        }
        // Fails only when the thread has been killed.
        let _ = sys::detach(self.tid, 0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Whether a signal that is not blocked waits for delivery.
pub(crate) fn signal_pending(status: &Status) -> bool {
    let pending = status.signals_pending.unwrap_or(0) | status.signals_shared_pending.unwrap_or(0);
    pending & !status.signals_blocked.unwrap_or(0) != 0
}

/// Waits a little: the longer something has taken, the longer.
pub(crate) fn wait(so_far: Duration) {
    match so_far.as_micros() {
        0..200 => sys::yield_now(),
        200..5_000 => std::thread::sleep(Duration::from_micros(50)),
        _ => std::thread::sleep(Duration::from_micros(500)),
    }
}
