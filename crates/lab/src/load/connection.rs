//! One connection to the service, which never blocks: it is opened when it is first used, kept alive as long
//! as the service keeps it, and opened again when it is used after that.
//!
//! A service may close a connection that rests in the moment in which a request is sent on it. That is
//! neither's fault: who notices sends the request once more, on a new connection (RFC 9112, 9.3.1).
//!
//! Invariant: at most one request is under way; nothing is sent again that was sent on a new connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};

use super::answer::Answer;
use super::error::LoadError;
use super::mix::Mix;

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// When it was due.
    pub(super) due: Duration,
    /// Of which kind it is.
    pub(super) kind_idx: usize,
}

/// One place for a request.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Option<TcpStream>,
    asked: Option<Asked>,
    /// The request, and how much of it the socket took.
    pub(super) outgoing: Vec<u8>,
    n_gone: usize,
    waits_to_write: bool,
    answer: Answer,
    /// The request went out on a connection that had rested.
    had_rested: bool,
    /// Since when it could have been used.
    pub(super) free_since: Duration,
    token: u64,
}

/// What a connection came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing yet.
    Waiting,
    /// The answer to this is in: whether it is right, the connection knows.
    Answered(Asked),
    /// The connection was closed while it rested, as is seen only now: this is to be sent again.
    Rested(Asked),
    /// There will be no answer.
    Failed(String),
}

impl Connection {
    pub(super) fn new(token: u64) -> Self {
        Self {
            socket: None,
            asked: None,
            outgoing: Vec::new(),
            n_gone: 0,
            waits_to_write: false,
            answer: Answer::default(),
            had_rested: false,
            free_since: Duration::ZERO,
            token,
        }
    }

    /// The request under way.
    pub(super) fn asked(&self) -> Option<Asked> {
        self.asked
    }

    /// The answer that came last.
    pub(super) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Whether there is a socket.
    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends what is in `outgoing`, as far as that is possible at once.
    pub(super) fn send(&mut self, asked: Asked, port: u16, epoll: &OwnedFd) -> Result<Outcome, LoadError> {
        self.asked = Some(asked);
        self.n_gone = 0;
        self.answer.clear();
        self.had_rested = self.socket.is_some();
        if !self.had_rested {
            match open(port)? {
                Opened::Refused(reason) => return Ok(self.fail(reason)),
                Opened::At(socket, is_connected) => {
                    self.waits_to_write = !is_connected;
                    epoll::add(epoll, &socket, EventData::new_u64(self.token), self.interest())
                        .map_err(|errno| LoadError::Wait(errno.into()))?;
                    self.socket = Some(socket);
                    if !is_connected {
                        return Ok(Outcome::Waiting);
                    }
                }
            }
        }
        self.write(epoll)
    }

    /// Goes on with what epoll says is possible.
    pub(super) fn proceed(
        &mut self,
        possible: EventFlags,
        buffer: &mut [u8],
        mix: &Mix,
        epoll: &OwnedFd,
    ) -> Result<Outcome, LoadError> {
        if self.waits_to_write && possible.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            let outcome = self.write(epoll)?;
            if self.socket.is_none() {
                return Ok(outcome);
            }
        }
        if possible.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
            return Ok(self.read(buffer, mix));
        }
        Ok(Outcome::Waiting)
    }

    /// Gives up what is under way.
    pub(super) fn abandon(&mut self) -> Option<Asked> {
        self.socket = None;
        self.asked.take()
    }

    fn write(&mut self, epoll: &OwnedFd) -> Result<Outcome, LoadError> {
        let Some(mut socket) = self.socket.as_ref() else { return Ok(Outcome::Waiting) };
        while self.n_gone < self.outgoing.len() {
            match socket.write(&self.outgoing[self.n_gone..]) {
                Ok(n_bytes) => self.n_gone += n_bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    return Ok(self.fail(format!("connecting: {error}")));
                }
                Err(error) => return Ok(self.fail(format!("sending: {error}"))),
            }
        }
        let waits = self.n_gone < self.outgoing.len();
        if waits != self.waits_to_write {
            self.waits_to_write = waits;
            epoll::modify(epoll, socket, EventData::new_u64(self.token), self.interest())
                .map_err(|errno| LoadError::Wait(errno.into()))?;
        }
        Ok(Outcome::Waiting)
    }

    /// Reads once: what is left makes epoll come back, after the others had their turn.
    fn read(&mut self, buffer: &mut [u8], mix: &Mix) -> Outcome {
        let Some(mut socket) = self.socket.as_ref() else { return Outcome::Waiting };
        let n_bytes = match socket.read(buffer) {
            Ok(n_bytes) => n_bytes,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                return Outcome::Waiting;
            }
            Err(error) => return self.fail(format!("waiting for an answer: {error}")),
        };
        let Some(asked) = self.asked else {
            // Closed while nobody asked anything, as servers do; or bytes that nobody asked for.
            self.socket = None;
            return Outcome::Waiting;
        };
        let taken = match n_bytes {
            0 if self.answer.take_end() => Ok(true),
            0 => {
                return self
                    .fail("the service closed the connection before its answer was complete".to_owned());
            }
            _ => self.answer.take(&buffer[..n_bytes], mix.expected(asked.kind_idx)),
        };
        match taken {
            Ok(false) => Outcome::Waiting,
            Ok(true) => {
                self.asked = None;
                // An answer before the end of the request: the rest of that would be taken for another one.
                if !self.answer.keeps_alive() || self.n_gone < self.outgoing.len() {
                    self.socket = None;
                }
                Outcome::Answered(asked)
            }
            Err(malformed) => self.fail(format!("not an answer: {malformed}")),
        }
    }

    /// Breaks the connection.
    fn fail(&mut self, reason: String) -> Outcome {
        match self.abandon() {
            Some(asked) if self.had_rested && !self.answer.has_begun() => Outcome::Rested(asked),
            Some(_) => Outcome::Failed(reason),
            None => Outcome::Waiting,
        }
    }

    fn interest(&self) -> EventFlags {
        if self.waits_to_write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
    }
}

/// What became of opening a socket.
enum Opened {
    /// Connected, or not yet.
    At(TcpStream, bool),
    /// The service's side does not want it.
    Refused(String),
}

fn open(port: u16) -> Result<Opened, LoadError> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))
        .map_err(|errno| LoadError::Socket { n_open: 0, source: errno.into() })?;
    sockopt::set_tcp_nodelay(&socket, true)
        .map_err(|errno| LoadError::Socket { n_open: 0, source: errno.into() })?;
    match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) => Ok(Opened::At(socket.into(), true)),
        // Interrupted: the kernel goes on by itself.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(Opened::At(socket.into(), false)),
        Err(Errno::ADDRNOTAVAIL) => Err(LoadError::Ports(Errno::ADDRNOTAVAIL.into())),
        Err(errno) => Ok(Opened::Refused(format!("connecting: {}", io::Error::from(errno)))),
    }
}
