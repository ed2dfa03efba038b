//! `record --rotate`: one capture after the other, each readable alone, the oldest deleted.
//!
//! Invariant: a capture that cannot be begun costs nothing: the present one goes on.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slackwater_base::Bytes;
use slackwater_collect::{CollectError, Collector};

use super::numbered::{free, numbered};
use crate::duration;
use crate::printer::Printer;
use crate::verbs::output;

/// When a capture is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// At this size.
    Bytes(Bytes),
    /// After this time.
    After(Duration),
}

/// Smallest capture that is worth a file: definitions are repeated in each.
const BYTES_MIN: u64 = 64 << 10;

impl Full {
    /// `100M`, `1GiB`, or `30m`, `1h`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(after) = duration::parse(text) {
            return Ok(Self::After(after.max(Duration::from_secs(1))));
        }
        match text.parse::<Bytes>() {
            Ok(size) if size.0 >= BYTES_MIN => Ok(Self::Bytes(size)),
            Ok(_) => Err("a capture has 64 KiB at least".to_owned()),
            Err(_) => Err("a size (100M, 1GiB) or a duration (30m, 1h)".to_owned()),
        }
    }
}

/// The captures of a recording.
pub(super) struct Rotation {
    full: Full,
    keep: Option<usize>,
    first: PathBuf,
    number: u32,
    begun: Instant,
    written: VecDeque<PathBuf>,
    overwrite: bool,
}

impl Rotation {
    /// A recording whose first capture is `first`; whether those that follow may be there already.
    pub(super) fn new(full: Full, keep: Option<usize>, first: &Path, overwrite: bool) -> Self {
        let written = VecDeque::from([first.to_path_buf()]);
        Self { full, keep, first: first.to_path_buf(), number: 1, begun: Instant::now(), written, overwrite }
    }

    /// Goes on in another capture when the present one is full; what could not be done is told.
    pub(super) fn step(
        &mut self,
        collector: &mut Collector<File>,
        printer: &Printer,
    ) -> Result<(), CollectError> {
        let is_full = match self.full {
            Full::Bytes(size) => collector.written_bytes() >= size.0,
            Full::After(after) => self.begun.elapsed() >= after,
        };
        // A file that could not be made is not tried again at once.
        if !is_full || self.begun.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.begun = Instant::now();
        self.number += 1;
        if !self.overwrite {
            self.number = free(&self.first, self.number);
        }
        let next = numbered(&self.first, self.number);
        match output::capture(&next, self.overwrite) {
            Ok(file) => collector.rotate(file)?,
            Err(failure) => {
                printer.warn(&format!("{}; the recording goes on in the file before", failure.error));
                return Ok(());
            }
        }
        self.written.push_back(next);
        while self.keep.is_some_and(|keep| self.written.len() > keep) {
            let Some(oldest) = self.written.pop_front() else { break };
            if let Err(error) = std::fs::remove_file(&oldest) {
                printer.warn(&format!("cannot delete {}: {error}", oldest.display()));
            }
        }
        Ok(())
    }

    /// The capture that is being written.
    pub(super) fn newest(&self) -> &Path {
        self.written.back().unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_or_a_duration() {
        assert_eq!(Full::parse("100MiB"), Ok(Full::Bytes(Bytes(100 << 20))));
        assert_eq!(Full::parse("30m"), Ok(Full::After(Duration::from_secs(1800))));
        assert!(Full::parse("1k").is_err() && Full::parse("soon").is_err());
    }
}
