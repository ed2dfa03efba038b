//! Opening a capture, for the verbs that read one.

use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Capture, ReadError};
use slackwater_profile::{Profile, Window};

use crate::exit::{Exit, Failure};

/// Reads and adds up a capture.
pub(super) fn profile(path: &Path) -> Result<Partial<Profile>, Failure> {
    let opened = Capture::open(path).map_err(|error| refused(&error))?;
    Profile::of(opened, Window::default()).map_err(|error| refused(&error))
}

fn refused(error: &ReadError) -> Failure {
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
