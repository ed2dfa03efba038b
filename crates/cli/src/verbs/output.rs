//! Files that verbs write: readable for their owner only, and never overwritten by accident.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};

/// Creates a file.
pub(super) fn create(path: &Path, overwrite: bool) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if overwrite {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|error| {
        let failure = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                return Failure::new(Exit::Usage, format!("{} is there already", path.display()))
                    .hint("name another file with --output, or overwrite it with --force");
            }
            io::ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Usage,
        };
        Failure::new(failure, format!("cannot create {}", path.display())).caused_by(&error)
    })
}

/// Writes a whole file.
pub(super) fn write(path: &Path, overwrite: bool, bytes: &[u8]) -> Result<(), Failure> {
    create(path, overwrite)?.write_all(bytes).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot write {}", path.display())).caused_by(&error)
    })
}

/// Beside a capture, with another ending: `it.slackwater` becomes `it.html`.
pub(super) fn beside(capture: &Path, ending: &str) -> PathBuf {
    let mut name = match capture.extension() {
        Some(extension) if extension == "slackwater" => capture.file_stem(),
        _ => capture.file_name(),
    }
    .unwrap_or_default()
    .to_owned();
    name.push(".");
    name.push(ending);
    capture.with_file_name(name)
}
