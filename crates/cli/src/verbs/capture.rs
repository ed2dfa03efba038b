//! Opening a capture, for the verbs that read one.

use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Capture, Index, ReadError};
use slackwater_profile::{Profile, Window};

use crate::args::{Labels, Read};
use crate::exit::{Exit, Failure};

/// Reads and adds up a part of a capture.
pub(super) fn profile(read: &Read) -> Result<Partial<Profile>, Failure> {
    let opened = open(&read.capture)?;
    let window = read.range.window(opened.value.index().span_ns());
    still_known(opened.value.index(), window)?;
    let profile = Profile::of(opened, window).map_err(|error| refused(&error))?;
    Ok(labelled(profile, read.labels))
}

/// Refuses to look into a time of which only sums are kept.
fn still_known(index: &Index, window: Window) -> Result<(), Failure> {
    let Some(until_ns) = index.summed_until_ns() else { return Ok(()) };
    let first_ns = index.span_ns().0;
    let is_within = (first_ns + 1..=until_ns).contains(&window.from_ns) || window.to_ns < until_ns;
    if !is_within {
        return Ok(());
    }
    let summed_s = until_ns.saturating_sub(first_ns).div_ceil(1_000_000_000);
    let text = format!("of the first {summed_s} s only sums are kept: what came when is not known");
    Err(Failure::new(Exit::Usage, text).hint(format!(
        "recorded with --max-size: leave out --from and --until, or name moments from {summed_s}s on"
    )))
}

/// Opens a capture.
pub(super) fn open(path: &Path) -> Result<Partial<Capture>, Failure> {
    Capture::open(path).map_err(|error| refused(&error))
}

/// Reads and adds up a capture, with what was when.
pub(super) fn over_time(path: &Path, labels: Labels) -> Result<Partial<Profile>, Failure> {
    let profile = Profile::over_time(open(path)?).map_err(|error| refused(&error))?;
    Ok(labelled(profile, labels))
}

fn labelled(profile: Partial<Profile>, labels: Labels) -> Partial<Profile> {
    let Partial { value, gaps } = profile;
    Partial { value: if labels.no_endpoints { value.without_endpoints() } else { value }, gaps }
}

pub(super) fn refused(error: &ReadError) -> Failure {
    let (exit, hint) = match error {
        ReadError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            (Exit::Denied, "captures are readable for the user who recorded them")
        }
        ReadError::Read { .. } => (Exit::Usage, "check the path"),
        ReadError::Empty { .. } => {
            (Exit::Damaged, "a recorder that was killed at once leaves such a file: record again")
        }
        ReadError::NotACapture { .. } => (Exit::Damaged, "captures are written by `slackwater record`"),
        ReadError::NewerFormat { .. } => (Exit::Damaged, "read it with the release that recorded it"),
        _ => (Exit::Damaged, "record it again"),
    };
    Failure::of(exit, error, Some(hint))
}
