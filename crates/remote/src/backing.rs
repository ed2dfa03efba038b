//! The files behind mappings, opened without trusting their names.
//!
//! Invariant: a file is only read when it is a regular one (never a device or a pipe, whose opening
//! alone can do harm) and when it is the very file that the mapping maps.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{FileId, Kind, Mapping, MemoryError};
use slackwater_procfs::Process;

/// Most files kept open at a time.
const MOST_OPEN: usize = 64;

/// The opened files of one process, by mapping.
#[derive(Default, Debug)]
pub(crate) struct BackingFiles {
    open: Mutex<HashMap<Range, Result<Arc<File>, Errno>>>,
}

impl BackingFiles {
    /// Copies what the file of `mapping` holds for the absent page bytes at `addr`. The part of the
    /// last page behind the file's end is zeros; a page wholly behind it does not exist.
    pub(crate) fn read(
        &self,
        process: &Process,
        mapping: &Mapping,
        addr: Addr,
        buffer: &mut [u8],
    ) -> Result<(), MemoryError> {
        let failed = |errno: Errno| match errno {
            Errno::ACCESS | Errno::PERM => MemoryError::Denied,
            errno => MemoryError::Failed { addr, errno: errno.raw_os_error() },
        };
        let file = self.file(process, mapping).map_err(failed)?;
        let offset = mapping.offset.wrapping_add(addr.offset_from(mapping.range.start));
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
            }
        }
        let end = addr + done as u64;
        if done < buffer.len() && end.align_up(PAGE_SIZE) < addr + buffer.len() as u64 {
            return Err(MemoryError::Unmapped(end.align_up(PAGE_SIZE)));
        }
        if done == 0 && !buffer.is_empty() && !self.reaches(&file, offset) {
            return Err(MemoryError::Unmapped(addr));
        }
        buffer[done..].fill(0);
        Ok(())
    }

    /// Whether the page of `offset` holds at least one byte of the file.
    fn reaches(&self, file: &File, offset: u64) -> bool {
        file.metadata().is_ok_and(|metadata| metadata.len() > offset & !(PAGE_SIZE - 1))
    }

    fn file(&self, process: &Process, mapping: &Mapping) -> Result<Arc<File>, Errno> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&mapping.range) {
            return file.clone();
        }
        if open.len() >= MOST_OPEN {
            open.clear();
        }
        let file = open_file(process, mapping).map(Arc::new);
        open.insert(mapping.range, file.clone());
        file
    }

    /// Forgets everything: the mappings have changed.
    pub(crate) fn clear(&mut self) {
        self.open.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Opens the very file that `mapping` of `process` maps.
///
/// # Errors
/// When it is no regular file, is out of reach, or its name leads to another one by now.
pub fn open_mapped(process: &Process, mapping: &Mapping) -> std::io::Result<File> {
    open_file(process, mapping).map_err(std::io::Error::from)
}

/// Opens the file that `mapping` maps: by the mapping itself where we may, else by its name below
/// the target's root directory.
pub(crate) fn open_file(process: &Process, mapping: &Mapping) -> Result<File, Errno> {
    let range = mapping.range;
    let link = format!("map_files/{:x}-{:x}", range.start.get(), range.end.get());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let by_mapping = rustix::fs::openat(process.directory(), link.as_str(), flags, Mode::empty());
    match by_mapping {
        Ok(handle) => {
            let stat = require_regular(&handle)?;
            let same = mapping.file().is_none_or(|id| is_file(&stat, id));
            if same || still_maps(process, mapping) { reopen(&handle) } else { Err(Errno::STALE) }
        }
        Err(_) => open_by_name(process, mapping),
    }
}

/// File systems like btrfs and overlayfs show another device number in maps than stat does. Then
/// the mapping must still be the one that we know: its link cannot lead elsewhere.
fn still_maps(process: &Process, mapping: &Mapping) -> bool {
    process.maps().is_ok_and(|mappings| mappings.iter().any(|now| now == mapping))
}

fn open_by_name(process: &Process, mapping: &Mapping) -> Result<File, Errno> {
    let Kind::File { path, id, .. } = &mapping.kind else { return Err(Errno::NODEV) };
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let root = rustix::fs::openat(process.directory(), "root", flags, Mode::empty())?;
    // Of a target in a chroot, both the link to its root and the names in maps are as its whole
    // mount namespace sees them.
    let place = rustix::fs::readlinkat(process.directory(), "root", Vec::new())?;
    let path = path.strip_prefix(OsStr::from_bytes(place.as_bytes())).unwrap_or(path);
    let path = path.strip_prefix("/").unwrap_or(path).as_os_str();
    // The target chooses the names below its root: a link there must not lead out of it.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let handle = match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
        // Before Linux 5.6. A link may lead out, but the file must still be the one that is mapped.
        Err(Errno::NOSYS) => rustix::fs::openat(&root, path, flags, Mode::empty()),
        result => result,
    }?;
    let stat = require_regular(&handle)?;
    let same = is_file(&stat, *id) || stat.st_ino == id.inode && shows_other_device(&handle);
    if same { reopen(&handle) } else { Err(Errno::STALE) }
}

/// Whether a file is on btrfs or overlayfs, where maps and stat name different devices and only the
/// inode number can be compared. Numbers as in include/uapi/linux/magic.h.
fn shows_other_device(handle: &OwnedFd) -> bool {
    const BTRFS: u64 = 0x9123_683e;
    const OVERLAYFS: u64 = 0x794c_7630;
    rustix::fs::fstatfs(handle).is_ok_and(|fs| matches!(fs.f_type as u64, BTRFS | OVERLAYFS))
}

/// A handle that was opened as a mere path neither reads nor has woken a driver.
fn require_regular(handle: &OwnedFd) -> Result<Stat, Errno> {
    let stat = rustix::fs::statat(handle, c"", AtFlags::EMPTY_PATH)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat),
        _ => Err(Errno::NODEV),
    }
}

fn reopen(handle: &OwnedFd) -> Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::openat(CWD, path.as_str(), flags, Mode::empty()).map(File::from)
}

fn is_file(stat: &Stat, id: FileId) -> bool {
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    id == FileId { device: u64::from(major) << 32 | u64::from(minor), inode: stat.st_ino }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use slackwater_base::Pid;
    use slackwater_memory::{Access, Sharing};
    use slackwater_procfs::Root;

    use super::*;

    fn opened(path: &Path, inode_of: &Path) -> Result<File, Errno> {
        let metadata = std::fs::metadata(inode_of).unwrap();
        let device = metadata.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let id = FileId { device: u64::from(major) << 32 | u64::from(minor), inode: metadata.ino() };
        let mapping = Mapping {
            // No mapping of ours has this range, so only the name is left.
            range: Range::sized(Addr(PAGE_SIZE), PAGE_SIZE),
            access: Access::default(),
            sharing: Sharing::Private,
            offset: 0,
            kind: Kind::File { path: path.to_owned(), id, deleted: false },
        };
        let process = Root::host().process(Pid(std::process::id() as i32)).unwrap();
        open_file(&process, &mapping)
    }

    #[test]
    fn only_the_very_file_is_opened_and_only_a_regular_one() {
        let true_ = Path::new("/usr/bin/true");
        let false_ = Path::new("/usr/bin/false");
        assert!(opened(true_, true_).is_ok());
        assert_eq!(opened(true_, false_).unwrap_err(), Errno::STALE);
        assert_eq!(opened(Path::new("/dev/null"), Path::new("/dev/null")).unwrap_err(), Errno::NODEV);
        assert_eq!(opened(Path::new("/usr/bin"), Path::new("/usr/bin")).unwrap_err(), Errno::NODEV);
        assert_eq!(opened(Path::new("/no/such"), true_).unwrap_err(), Errno::NOENT);
        // A link of /proc leads anywhere, past the root of the process too.
        assert_eq!(opened(Path::new("/proc/self/exe"), true_).unwrap_err(), Errno::LOOP);
        // A pipe without a writer would hold its reader for ever.
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(opened(&pipe, &pipe).unwrap_err(), Errno::NODEV);
    }
}
