//! Waiting until a service can be loaded.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::{Log, connect};
use crate::keeper::{End, Keeper};
use crate::plan::Ready;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one answer may take; a service that imports much accepts long before it answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a service cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    /// It ended.
    #[error("the service ended at its start: {end}{}", background(*n_left))]
    Ended {
        /// How.
        end: End,
        /// Processes that it had started and that went on.
        n_left: usize,
    },
    /// It took too long.
    #[error("the service was not ready within {within_seconds:.0} s: {missing}")]
    TooLate {
        /// How long it had.
        within_seconds: f64,
        /// What did not happen.
        missing: String,
    },
    /// The user wants to stop.
    #[error("stopped")]
    Cancelled,
}

pub(crate) fn background(n_left: usize) -> String {
    match n_left {
        0 => String::new(),
        n => format!(
            "; {n} of its processes went on, as if it had put itself into the background: start it in the foreground"
        ),
    }
}

/// Waits until the service under `keeper` is ready.
pub(crate) fn wait(
    ready: &Ready,
    port: u16,
    keeper: &Keeper,
    log: &Log,
    within: Duration,
    is_cancelled: impl Fn() -> bool,
) -> Result<(), NotReady> {
    let deadline = Instant::now() + within;
    loop {
        let missing = match ready {
            Ready::Started => None,
            Ready::Log(text) => (!log.has_seen_it()).then(|| format!("it wrote no line with \"{text}\"")),
            Ready::Tcp => connect(port).err().map(|error| format!("connecting to port {port}: {error}")),
            Ready::Http(path) => get(port, path).err().map(|error| format!("GET {path}: {error}")),
        };
        // A script that has done its work and ended was ready. Of a service that has ended, a process that
        // it left in the background may answer.
        if let Some((end, n_left)) = keeper.ended().filter(|_| *ready != Ready::Started) {
            return Err(NotReady::Ended { end, n_left });
        }
        let Some(missing) = missing else { return Ok(()) };
        if is_cancelled() {
            return Err(NotReady::Cancelled);
        }
        if Instant::now() >= deadline {
            return Err(NotReady::TooLate { within_seconds: within.as_secs_f64(), missing });
        }
        keeper.wait_until((Instant::now() + PAUSE).min(deadline));
    }
}

/// Asks for a path: fine when the status is below 400.
fn get(port: u16, path: &str) -> io::Result<()> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status =
        start.strip_prefix(b"HTTP/1.").and_then(|rest| str::from_utf8(rest.get(2..)?).ok()?.parse().ok());
    // The rest is read, so that the service is not interrupted while it answers.
    let _ = io::copy(&mut stream.take(1 << 20), &mut io::sink());
    match status {
        Some(100..400_u16) => Ok(()),
        Some(status) => Err(io::Error::other(format!("answered with status {status}"))),
        None => Err(io::Error::other("the answer is not HTTP/1.x")),
    }
}
