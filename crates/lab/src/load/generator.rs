//! The loop that sends what is due on whatever connection is free, and takes in answers.
//!
//! ```text
//! wait for events or the timer -> answers in, free connections back -> due requests out -> set the timer
//! ```
//!
//! Free connections are used in turn, the one that rested longest first: kept-alive requests spread over the
//! workers of a service as those of many visitors would.
//!
//! Invariant: one thread, no lock; a waiting request is a number that the pace has not given out yet, so a
//! backlog takes no memory.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::connection::{Asked, Connection, Outcome};
use super::error::LoadError;
use super::mix::Mix;
use super::tally::Tally;
use super::timer::Timer;
use super::{Loaded, Progress};

/// How often it looks whether it was cancelled, whether an answer is overdue, and says how far it is.
const TICK: Duration = Duration::from_millis(50);
/// Events taken at once.
const EVENTS: usize = 256;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// What epoll calls the timer; connections are called by their index.
const TIMER: u64 = u64::MAX;

/// When requests are due. Moments count from the beginning of the load.
pub(super) trait Pace {
    /// What to do, given that a connection is free. A request that is given out is not given out again.
    fn next(&mut self, now: Duration) -> Next;
    /// A request that was given out is over.
    fn ended(&mut self, now: Duration, was_answered: bool);
}

/// What a pace says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Send a request that was due then.
    Send { due: Duration },
    /// Nothing before this moment.
    At(Duration),
    /// Nothing any more.
    End,
}

/// The state of a load.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    port: u16,
    timeout: Duration,
    mix: Mix,
    tally: Tally,
    epoll: OwnedFd,
    timer: Timer,
    connections: Vec<Connection>,
    /// Those without a request, the one that rested longest first.
    free: VecDeque<usize>,
    cancel: &'a AtomicBool,
    progress: SyncSender<Progress>,
    from: Instant,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        n_connections: usize,
        timeout: Duration,
        mix: Mix,
        port: u16,
        cancel: &'a AtomicBool,
        progress: SyncSender<Progress>,
    ) -> Result<Self, LoadError> {
        let wait = |errno: Errno| LoadError::Wait(errno.into());
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(wait)?;
        let timer = Timer::new().map_err(LoadError::Wait)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)
            .map_err(wait)?;
        let n_connections = n_connections.max(1);
        Ok(Self {
            port,
            timeout,
            mix,
            tally: Tally::new()?,
            epoll,
            timer,
            connections: (0..n_connections as u64).map(Connection::new).collect(),
            free: (0..n_connections).collect(),
            cancel,
            progress,
            from: Instant::now(),
        })
    }

    /// Sends the whole load.
    pub(super) fn run(mut self, mut pace: impl Pace) -> Result<Loaded, LoadError> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let mut buffer = vec![0; BUFFER];
        self.from = Instant::now();
        let mut tick = Duration::ZERO;
        loop {
            let now = self.from.elapsed();
            if now >= tick {
                tick = now + TICK;
                self.tick(now, &mut pace)?;
            }
            let Some(next) = self.send_due(&mut pace)? else { break };
            self.timer.arm(next.min(tick), self.from.elapsed()).map_err(LoadError::Wait)?;
            let (ready, _) = match epoll::wait(&self.epoll, &mut events, None) {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(LoadError::Wait(errno.into())),
            };
            for event in ready {
                match event.data.u64() {
                    TIMER => self.timer.expired(),
                    token => self.proceed(token as usize, event.flags, &mut buffer, &mut pace)?,
                }
            }
        }
        let until = Instant::now();
        let answers = self.tally.answers(until - self.from)?;
        Ok(Loaded { from: self.from, until, answers })
    }

    /// Sends all that is due and has a free connection. Returns when there is something to send again if no
    /// answer comes before; `None` when the load is over.
    fn send_due(&mut self, pace: &mut impl Pace) -> Result<Option<Duration>, LoadError> {
        while let Some(&idx) = self.free.front() {
            let now = self.from.elapsed();
            let due = match pace.next(now) {
                Next::Send { due } => due,
                Next::At(at) => return Ok(Some(at)),
                Next::End if self.free.len() == self.connections.len() => return Ok(None),
                Next::End => break,
            };
            let n = self.tally.n_due;
            self.tally.n_due += 1;
            if now > due + self.timeout {
                // It waited for a connection for so long that its sender is gone.
                self.tally.n_timeouts += 1;
                pace.ended(now, false);
                continue;
            }
            self.free.pop_front();
            let connection = &mut self.connections[idx];
            let kind_idx = self.mix.write(n, &mut connection.outgoing);
            self.tally.sent(now.saturating_sub(due.max(connection.free_since)));
            self.send(idx, Asked { due, kind_idx }, pace)?;
        }
        Ok(Some(Duration::MAX))
    }

    /// Sends the request that was written for a connection.
    fn send(&mut self, idx: usize, asked: Asked, pace: &mut impl Pace) -> Result<(), LoadError> {
        let outcome = self.connections[idx].send(asked, self.port, &self.epoll);
        let outcome = outcome.map_err(|error| self.with_open_connections(error))?;
        self.settle(idx, outcome, pace)
    }

    fn proceed(
        &mut self,
        idx: usize,
        possible: EventFlags,
        buffer: &mut [u8],
        pace: &mut impl Pace,
    ) -> Result<(), LoadError> {
        let outcome = self.connections[idx].proceed(possible, buffer, &self.mix, &self.epoll)?;
        self.settle(idx, outcome, pace)
    }

    /// Counts what a connection came to, and frees it.
    fn settle(&mut self, idx: usize, outcome: Outcome, pace: &mut impl Pace) -> Result<(), LoadError> {
        let now = self.from.elapsed();
        let answer = self.connections[idx].answer();
        let was_answered = match outcome {
            Outcome::Waiting => return Ok(()),
            Outcome::Rested(asked) => {
                self.tally.n_resent += 1;
                return self.send(idx, asked, pace);
            }
            Outcome::Answered(asked) if now > asked.due + self.timeout => {
                self.tally.n_timeouts += 1;
                true
            }
            Outcome::Answered(asked) => {
                if answer.is_right(self.mix.expected(asked.kind_idx)) {
                    self.tally.right(now.saturating_sub(asked.due));
                } else {
                    self.tally.wrong(|| answer.describe());
                }
                true
            }
            Outcome::Failed(reason) => {
                self.tally.failed(|| reason);
                false
            }
        };
        self.release(idx, now);
        pace.ended(now, was_answered);
        Ok(())
    }

    /// Ends what is overdue, or everything.
    fn tick(&mut self, now: Duration, pace: &mut impl Pace) -> Result<(), LoadError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(LoadError::Cancelled);
        }
        for idx in 0..self.connections.len() {
            let connection = &mut self.connections[idx];
            if connection.asked().is_some_and(|asked| now > asked.due + self.timeout) {
                connection.abandon();
                self.tally.n_timeouts += 1;
                self.release(idx, now);
                pace.ended(now, false);
            }
        }
        // Who does not listen yet misses this one.
        let _ = self.progress.try_send(self.tally.progress(now));
        Ok(())
    }

    fn release(&mut self, idx: usize, now: Duration) {
        self.connections[idx].free_since = now;
        self.free.push_back(idx);
    }

    fn with_open_connections(&self, error: LoadError) -> LoadError {
        match error {
            LoadError::Socket { source, .. } => LoadError::Socket {
                n_open: self.connections.iter().filter(|connection| connection.is_open()).count(),
                source,
            },
            other => other,
        }
    }
}
