//! Files that verbs write.
//!
//! Promise, for captures and reports alike: a file is created anew, readable for its owner only (0600). It is
//! never written through a link that somebody has put in its place, and never overwritten by accident. With
//! `--force` a whole new file takes the name of the old one at once (rename), whoever's that was: nothing is
//! written into it. What is no file (a device, a folder, a pipe) is not replaced.
//!
//! Links among the folders of the path are followed, as the user wrote them.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::exit::{Exit, Failure};

/// A file on its way to its name. Until it has arrived, it is gone with us.
#[derive(Debug)]
pub(super) struct Arriving {
    file: File,
    path: PathBuf,
    /// What it is called meanwhile, on file systems where a file must be called something.
    temporary: Option<PathBuf>,
}

impl Arriving {
    /// Creates an empty file in the folder of `path`, to be read and appended to.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        let path = path.to_path_buf();
        match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file: file.into(), path, temporary: None }),
            // As kernels and file systems without such files say.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                let temporary = temporary(&path);
                let mut options = new_file();
                let file = options.read(true).append(true).open(&temporary)?;
                Ok(Self { file, path, temporary: Some(temporary) })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Takes its name, from whatever had it.
    pub(super) fn arrive(&mut self) -> io::Result<()> {
        if self.temporary.is_none() {
            let temporary = temporary(&self.path);
            let unnamed = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
            rustix::fs::linkat(CWD, unnamed, CWD, &temporary, AtFlags::SYMLINK_FOLLOW)?;
            self.temporary = Some(temporary);
        }
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.path)?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// A name beside `path` that nobody can know before.
fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", RandomState::new().hash_one(std::process::id())));
    path.with_file_name(name)
}

/// What no file may be there for, link or not.
fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create_new(true).mode(0o600);
    options
}

/// Writes a whole file.
pub(super) fn write(path: &Path, overwrite: bool, bytes: &[u8]) -> Result<(), Failure> {
    let cannot_write = |error: io::Error| {
        Failure::new(Exit::Usage, format!("cannot write {}", path.display())).caused_by(&error)
    };
    if overwrite {
        replaceable(path)?;
        let mut arriving = Arriving::at(path).map_err(|error| cannot_create(path, &error))?;
        (&arriving.file).write_all(bytes).map_err(cannot_write)?;
        return arriving.arrive().map_err(|error| cannot_create(path, &error));
    }
    let mut file = new_file().write(true).open(path).map_err(|error| cannot_create(path, &error))?;
    file.write_all(bytes).map_err(cannot_write)
}

/// A capture, empty and ours: nobody else records into it. Marks are appended to it by others.
pub(super) fn capture(path: &Path, overwrite: bool) -> Result<File, Failure> {
    if !overwrite {
        let file = new_file().read(true).append(true).open(path);
        let file = file.map_err(|error| cannot_create(path, &error))?;
        return if slackwater_collect::claim(&file) { Ok(file) } else { Err(recorded_into(path)) };
    }
    let former = replaceable(path)?;
    let mut arriving = Arriving::at(path).map_err(|error| cannot_create(path, &error))?;
    slackwater_collect::claim(&arriving.file);
    // Locked while it is replaced, so of two who come at once the second finds the lock of the first.
    if former.as_ref().is_some_and(|former| !slackwater_collect::claim(former) || !is_at(former, path)) {
        return Err(recorded_into(path));
    }
    arriving.arrive().map_err(|error| cannot_create(path, &error))?;
    arriving.file.try_clone().map_err(|error| cannot_create(path, &error))
}

/// Whether this file is the one of this name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(file), Ok(named)) => (file.dev(), file.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// The file that is there, if one is that we can read; nothing but files and links is replaced.
fn replaceable(path: &Path) -> Result<Option<File>, Failure> {
    let Ok(found) = path.symlink_metadata() else { return Ok(None) };
    if found.is_symlink() {
        return Ok(None);
    }
    if !found.is_file() {
        return Err(Failure::new(Exit::Usage, format!("{} is no file", path.display()))
            .hint("name a file with --output"));
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path);
    Ok(opened.ok())
}

fn recorded_into(path: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} is being recorded into", path.display()))
        .hint("name another file with --output")
}

fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            return Failure::new(Exit::Usage, format!("{} is there already", path.display()))
                .hint("name another file with --output, or overwrite it with --force");
        }
        io::ErrorKind::PermissionDenied => Exit::Denied,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("cannot create {}", path.display())).caused_by(error)
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
