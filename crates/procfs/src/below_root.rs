//! Files by the names that a process itself would use: below its own root directory, in its mount
//! namespace.
//!
//! Invariant: a name chosen in the target's world never leads out of its root, and only regular files
//! are opened: a name may belong to a device or a pipe whose mere opening does harm.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{ProcError, Process};

/// What a name leads to.
#[derive(Debug)]
pub enum Named {
    /// Nothing.
    Missing,
    /// Something that is no regular file.
    Other,
    /// A file.
    File(NamedFile),
}

/// A file that a name leads to.
#[derive(Debug)]
pub struct NamedFile {
    /// Its inode number.
    pub inode: u64,
    /// Permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The file, opened for reading; `None` when we may not.
    pub opened: Option<File>,
}

impl NamedFile {
    /// Whether somebody with these ids may read it, by its permission bits alone.
    pub fn is_readable_by(&self, uid: u32, gid: u32) -> bool {
        let shift = match () {
            () if uid == 0 => return true,
            () if uid == self.uid => 6,
            () if gid == self.gid => 3,
            () => 0,
        };
        self.mode >> shift & 0o4 != 0
    }
}

impl Process {
    /// What the absolute `path` leads to for this process.
    ///
    /// # Errors
    /// When its root cannot be entered, or the name cannot be followed for another reason than that
    /// there is nothing.
    pub fn named(&self, path: &Path) -> Result<Named, ProcError> {
        let failed = |errno| self.refusal_at(path, errno);
        let handle = match self.resolve(path, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Named::Missing),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::statat(&handle, c"", AtFlags::EMPTY_PATH).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Named::Other);
        }
        let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = rustix::fs::openat(CWD, link.as_str(), flags, Mode::empty()).ok().map(File::from);
        let mode = stat.st_mode & 0o7777;
        Ok(Named::File(NamedFile { inode: stat.st_ino, mode, uid: stat.st_uid, gid: stat.st_gid, opened }))
    }

    /// Where the symbolic link at the absolute `path` points for this process; `None` where there is no
    /// link.
    ///
    /// # Errors
    /// As [`Process::named`].
    pub fn link_named(&self, path: &Path) -> Result<Option<PathBuf>, ProcError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let handle = match self.resolve(path, flags) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(self.refusal_at(path, errno)),
        };
        // No link at all is answered with an error.
        let target = rustix::fs::readlinkat(&handle, c"", Vec::new()).ok();
        Ok(target.map(|target| PathBuf::from(OsString::from_vec(target.into_bytes()))))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let directory = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let root = rustix::fs::openat(self.directory(), "root", directory, Mode::empty())?;
        let below = path.strip_prefix("/").map_err(|_| Errno::NOENT)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve)
    }

    fn refusal_at(&self, path: &Path, errno: Errno) -> ProcError {
        let path = self.path().join("root").join(path.strip_prefix("/").unwrap_or(path));
        match errno {
            Errno::ACCESS | Errno::PERM => ProcError::Denied { pid: self.pid(), path },
            errno => ProcError::Open { path, source: errno.into() },
        }
    }
}
