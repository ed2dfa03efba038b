//! The last lines that a service wrote, and whether it wrote a certain one.
//!
//! Invariant: however much is written, a bounded part of it is kept.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines that are kept.
const MOST_LINES: usize = 60;
/// Bytes of a line that are kept.
const MOST_BYTES: usize = 500;

/// The end of what a service writes.
#[derive(Clone, Default, Debug)]
pub(crate) struct Log(Arc<Mutex<Tail>>);

#[derive(Default, Debug)]
struct Tail {
    lines: VecDeque<String>,
    /// The line that is being written.
    open: Vec<u8>,
    /// What is looked for, until it was seen.
    wanted: Option<String>,
}

impl Log {
    /// A log that watches for a line with `wanted` in it.
    pub(crate) fn watching_for(wanted: Option<&str>) -> Self {
        Self(Arc::new(Mutex::new(Tail { wanted: wanted.map(str::to_owned), ..Tail::default() })))
    }

    /// Whether the line that was watched for was seen, if any was.
    pub(crate) fn has_seen_it(&self) -> bool {
        self.lock().wanted.is_none()
    }

    /// The last lines, the oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let tail = self.lock();
        let open = (!tail.open.is_empty()).then(|| text(&tail.open));
        tail.lines.iter().cloned().chain(open).collect()
    }

    /// Reads until the end.
    pub(crate) fn fill(&self, mut source: impl Read) {
        let mut buffer = [0; 4096];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => self.lock().take(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            let line = text(&std::mem::take(&mut self.open));
            self.lines.push_back(line);
            if self.lines.len() > MOST_LINES {
                self.lines.pop_front();
            }
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MOST_BYTES.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.wanted.as_ref().is_some_and(|wanted| text(&self.open).contains(wanted)) {
            self.wanted = None;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let log = Log::default();
        let text: String = (0..1000).map(|number| format!("line {number}\r\n")).collect();
        log.fill(text.as_bytes());
        log.fill(&[b'x'; 1 << 20][..]);
        let lines = log.last_lines();
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines[MOST_LINES - 1], "line 999");
        assert_eq!(lines[MOST_LINES].len(), MOST_BYTES);
    }

    #[test]
    fn a_line_is_seen_also_when_it_comes_in_pieces_and_long_after() {
        let log = Log::watching_for(Some("Listening at"));
        for piece in ["starting\nINFO Listen", "ing a", "t: http://\n"] {
            assert!(!log.has_seen_it());
            log.fill(piece.as_bytes());
        }
        log.fill("another\n".repeat(500).as_bytes());
        assert!(log.has_seen_it());
        assert!(Log::default().has_seen_it());
    }
}
