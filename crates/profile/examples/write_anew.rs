//! Writes a capture anew, with sums in place of all but its last records: `write_anew CAPTURE INTO`. For the
//! golden captures, which are far below any size that `record --max-size` keeps.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;

use slackwater_capture::{Capture, Writer};
use slackwater_profile::compact;

/// Bytes of records that are kept: the last frame of a small capture.
const KEPT_BYTES: u64 = 600;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (from, into) = paths.next().zip(paths.next()).ok_or("usage: write_anew CAPTURE INTO")?;
    let capture = Capture::open(&from)?;
    let last_ns = capture.value.index().span_ns().1;
    let compacted = compact(capture, File::create(into)?, KEPT_BYTES)?.ok_or("there is nothing to add up")?;
    Writer::joining(compacted.out).end(last_ns)?;
    Ok(())
}
