//! `record --rotate`: one capture after the other, each readable alone, the oldest deleted.
//!
//! Invariant: a capture that cannot be begun costs nothing: the present one goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slackwater_base::Bytes;
use slackwater_collect::{CollectError, Collector};

use super::numbered::{free, numbered};
use crate::duration;
use crate::exit::Failure;

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
pub(in crate::verbs) struct Rotation {
    full: Full,
    keep: Option<usize>,
    first: PathBuf,
    number: u32,
    begun: Instant,
    written: Vec<PathBuf>,
}

impl Rotation {
    /// A recording whose first capture is `first`.
    pub(in crate::verbs) fn new(full: Full, keep: Option<usize>, first: &Path) -> Self {
        let written = vec![first.to_path_buf()];
        Self { full, keep, first: first.to_path_buf(), number: 1, begun: Instant::now(), written }
    }

    /// Goes on in another capture when the present one is full; what could not be done is told.
    pub(in crate::verbs) fn step(
        &mut self,
        collector: &mut Collector<File>,
        create: impl Fn(&Path) -> Result<File, Failure>,
        tell: impl Fn(&str),
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
        self.number = free(&self.first, self.number + 1);
        let next = numbered(&self.first, self.number);
        match create(&next) {
            Ok(file) => collector.rotate(file)?,
            Err(failure) => {
                tell(&format!("{}; the recording goes on in the file before", failure.error));
                return Ok(());
            }
        }
        self.written.push(next);
        while self.keep.is_some_and(|keep| self.written.len() > keep) {
            let oldest = self.written.remove(0);
            if let Err(error) = std::fs::remove_file(&oldest) {
                tell(&format!("cannot delete {}: {error}", oldest.display()));
            }
        }
        Ok(())
    }

    /// The captures that are there.
    pub(in crate::verbs) fn written(&self) -> &[PathBuf] {
        &self.written
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
