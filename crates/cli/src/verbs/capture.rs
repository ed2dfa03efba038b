//! Opening a capture, for the verbs that read one.

use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Capture, ReadError};
use slackwater_profile::Profile;

use crate::args::Range;
use crate::exit::{Exit, Failure};

/// Reads and adds up a part of a capture.
pub(super) fn profile(path: &Path, range: &Range) -> Result<Partial<Profile>, Failure> {
    let opened = open(path)?;
    let window = range.window(opened.value.index().span_ns());
    Profile::of(opened, window).map_err(|error| refused(&error))
}

/// Opens a capture.
pub(super) fn open(path: &Path) -> Result<Partial<Capture>, Failure> {
    Capture::open(path).map_err(|error| refused(&error))
}

/// Reads and adds up a capture, with what was when.
pub(super) fn over_time(path: &Path) -> Result<Partial<Profile>, Failure> {
    Profile::over_time(open(path)?).map_err(|error| refused(&error))
}

pub(super) fn refused(error: &ReadError) -> Failure {
    let (exit, hint) = match error {
        ReadError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            (Exit::Denied, "captures are readable for the user who recorded them")
        }
        ReadError::Read { .. } => (Exit::Usage, "check the path"),
        ReadError::NotACapture { .. } => (Exit::Damaged, "captures are written by `slackwater record`"),
        ReadError::NewerFormat { .. } => (Exit::Damaged, "read it with the release that recorded it"),
        _ => (Exit::Damaged, "record it again"),
    };
    Failure::of(exit, error, Some(hint))
}
