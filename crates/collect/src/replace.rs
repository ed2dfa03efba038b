//! Going on in a file that takes the place of the present one, under the same name and lock.
//!
//! ```text
//!   next: what the present file had ── what was appended since ── (takes the name) ── what came meanwhile
//! ```
//!
//! Invariant: whatever instant we are killed at, the name leads to one whole capture. Whoever appended to the
//! present file before `next` had the name finds it in `next`; whoever appends later sees that the name leads
//! elsewhere, and appends there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::io::DupFlags;
use slackwater_capture::Writer;

use crate::collector::Collector;
use crate::error::CollectError;
use crate::under_way::claim;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 256 << 10;

impl Collector<File> {
    /// Goes on in `next`, which has what the present file has up to `read_bytes`; `take_name` gives it the
    /// name of that. Both must be open for reading and appending. No more than `most_bytes` are written.
    ///
    /// # Errors
    /// When something cannot be copied, or the name not be taken: the present file goes on then.
    pub fn go_on_in(
        &mut self,
        next: &File,
        read_bytes: u64,
        most_bytes: u64,
        take_name: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), CollectError> {
        let write = CollectError::Write;
        // Before it can be found by its name.
        if !claim(next) {
            return Err(write(io::ErrorKind::ResourceBusy.into()));
        }
        let former = self.writer.out().try_clone().map_err(write)?;
        let copied_bytes = copy(&former, read_bytes, next).map_err(write)?;
        let kept = next.try_clone().map_err(write)?;
        take_name().map_err(write)?;
        // Under the same number, by which others find the capture of a recorder.
        let present = std::mem::replace(&mut self.writer, Writer::joining(kept));
        let mut descriptor = OwnedFd::from(present.leave());
        if rustix::io::dup3(next, &mut descriptor, DupFlags::CLOEXEC).is_ok() {
            self.writer = Writer::joining(File::from(descriptor));
        }
        let copied = copy(&former, copied_bytes, next);
        let written_bytes = next.metadata().map_or(copied_bytes, |now| now.len());
        self.writer.count_from(written_bytes, most_bytes);
        copied.map(drop).map_err(write)
    }
}

/// Appends to `to` what `from` has behind an offset, and says how far that was.
fn copy(from: &File, mut offset: u64, mut to: &File) -> io::Result<u64> {
    let mut bytes = vec![0; COPY_BYTES];
    loop {
        let n_bytes = from.read_at(&mut bytes, offset)?;
        if n_bytes == 0 {
            return Ok(offset);
        }
        to.write_all(&bytes[..n_bytes])?;
        offset += n_bytes as u64;
    }
}
