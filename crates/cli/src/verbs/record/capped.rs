//! `record --max-size`: one capture that never becomes larger. When it has half of that, it is written anew
//! beside the recording, with sums in place of its older records.
//!
//! ```text
//!   0 ──────── 1/4 ──────── 1/2 ──────── 3/4 ──────── 1
//!   kept as it is ┘   begins ┘    waits for it ┘       └ recording ends rather than go on
//! ```
//!
//! Invariant: a capture that cannot be written anew goes on as it is, up to its size.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use slackwater_base::Bytes;
use slackwater_capture::Capture;
use slackwater_collect::{CollectError, Collector};
use slackwater_profile::compact;
use slackwater_report::visible;

use super::background::give_way;
use crate::printer::Printer;
use crate::verbs::output::{self, Arriving};

/// The smallest size that is worth it: code, and live blocks, are kept one by one.
const BYTES_MIN: u64 = 1 << 20;

/// Reads a size.
pub(crate) fn parse(text: &str) -> Result<Bytes, String> {
    match text.parse::<Bytes>() {
        Ok(size) if size.0 >= BYTES_MIN => Ok(size),
        Ok(_) => Err("at least 1 MiB".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A capture that is kept below a size.
pub(super) struct Capped {
    most: Bytes,
    path: PathBuf,
    /// The size at which it is written anew.
    next_bytes: u64,
    under_way: Option<JoinHandle<Result<Option<Anew>, String>>>,
}

/// A capture that was written anew.
struct Anew {
    arriving: Arriving,
    written_bytes: u64,
    read_bytes: u64,
}

impl Capped {
    pub(super) fn new(most: Bytes, path: &Path) -> Self {
        // Where the recorder goes later, the name stays the same.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Self { most, path, next_bytes: most.0 / 2, under_way: None }
    }

    /// The most bytes that the capture may have.
    pub(super) const fn most_bytes(&self) -> u64 {
        self.most.0
    }

    /// Begins to write the capture anew when it is time, and goes on in what has been written; what could not
    /// be done is told.
    pub(super) fn step(
        &mut self,
        collector: &mut Collector<File>,
        printer: &Printer,
    ) -> Result<(), CollectError> {
        if self.under_way.is_none() && collector.written_bytes() >= self.next_bytes {
            self.begin(collector, printer);
        }
        // Events wait in the rings meanwhile, and agents wait for those, within bounds.
        let must_wait = collector.written_bytes() >= self.most.0 / 4 * 3;
        match self.under_way.take_if(|thread| must_wait || thread.is_finished()) {
            Some(thread) => {
                let anew = thread.join().unwrap_or_else(|_| Err("the thread has failed".to_owned()));
                self.take_up(anew, collector, printer)
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self, collector: &Collector<File>, printer: &Printer) {
        // Opened anew: it is read at a place of its own.
        let descriptor = format!("/proc/self/fd/{}", collector.out().as_fd().as_raw_fd());
        let (path, most_bytes) = (self.path.clone(), self.most.0);
        let begun = File::open(descriptor).and_then(|file| {
            let name = "slackwater-sums".to_owned();
            std::thread::Builder::new().name(name).spawn(move || write_anew(file, &path, most_bytes))
        });
        match begun {
            Ok(thread) => self.under_way = Some(thread),
            Err(error) => self.give_up(&error.to_string(), printer),
        }
    }

    fn take_up(
        &mut self,
        anew: Result<Option<Anew>, String>,
        collector: &mut Collector<File>,
        printer: &Printer,
    ) -> Result<(), CollectError> {
        let Anew { mut arriving, written_bytes, read_bytes } = match anew {
            Ok(Some(anew)) => anew,
            Ok(None) => {
                self.next_bytes = u64::MAX;
                return Ok(());
            }
            Err(error) => {
                self.give_up(&error, printer);
                return Ok(());
            }
        };
        if written_bytes > self.most.0 / 8 * 5 {
            return Err(CollectError::Full { needed: Bytes(written_bytes), most: self.most });
        }
        if !output::is_at(collector.out(), &self.path) {
            self.give_up("it is called differently by now", printer);
            return Ok(());
        }
        let next = arriving.file().try_clone().map_err(CollectError::Write)?;
        if let Err(error) = collector.go_on_in(&next, read_bytes, self.most.0, || arriving.arrive()) {
            self.give_up(&error.to_string(), printer);
            return Ok(());
        }
        self.next_bytes = (self.most.0 / 2).max(written_bytes + (self.most.0 / 4 * 3 - written_bytes) / 2);
        Ok(())
    }

    /// It goes on as it is.
    fn give_up(&mut self, why: &str, printer: &Printer) {
        self.next_bytes = u64::MAX;
        let path = self.path.display().to_string();
        printer.warn(&format!(
            "{} could not be written anew with sums: {}; recording ends when it has {}",
            visible(&path),
            visible(why),
            self.most
        ));
    }
}

/// Writes a capture anew, into a file that does not have its name yet.
fn write_anew(file: File, path: &Path, most_bytes: u64) -> Result<Option<Anew>, String> {
    give_way();
    let said = |error: &dyn std::error::Error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let mut file = BufReader::new(file);
    let mut anew = None;
    // Where sums alone take much, no records are kept beside them.
    for keep_bytes in [most_bytes / 4, 0] {
        let capture = Capture::from_reader(path, &mut file).map_err(|error| said(&error))?;
        let arriving = Arriving::at(path).map_err(|error| said(&error))?;
        let compacted = compact(capture, arriving.file(), keep_bytes).map_err(|error| said(&error))?;
        let Some(compacted) = compacted else { continue };
        let (written_bytes, read_bytes) = (compacted.written_bytes, compacted.read_bytes);
        anew = Some(Anew { arriving, written_bytes, read_bytes });
        if written_bytes <= most_bytes / 8 * 3 {
            break;
        }
    }
    if let Some(anew) = &anew {
        // So that no crash of the machine finds the name on a file that is not there yet.
        anew.arriving.file().sync_data().map_err(|error| said(&error))?;
    }
    Ok(anew)
}
