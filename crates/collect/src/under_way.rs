//! Recordings under way: claimed by who records, found and marked by others.
//!
//! Whoever records holds an exclusive lock on the capture. The kernel ends it with the recorder, so a
//! recording is under way exactly as long as the lock is held, whatever became of everybody.
//!
//! Invariant: a mark is one frame, appended in one write, to a file that the recorder appends to as well;
//! so neither disturbs the other, and no recorder has to listen. Where another file takes the place of the
//! capture meanwhile, the mark goes into that one, too: readers take two of the same moment for one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use slackwater_base::Pid;
use slackwater_capture::{Encoder, Generation, Record, Writer, format};
use slackwater_procfs::{Process, Root};

use crate::error::MarkError;
use crate::{memory, sys};

/// What a recorder calls itself.
const RECORDER: &str = "slackwater";

/// A capture that is replaced again while it is marked is marked so often.
const FILES_MAX: usize = 8;

/// Most descriptors of a process that are looked at.
const DESCRIPTORS_MAX: usize = 4096;

/// Takes the capture for this process, until it is closed; whether nobody else records into it.
///
/// A file system without locks is taken as it is.
pub fn claim(capture: &File) -> bool {
    rustix::fs::flock(capture, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK)
}

/// A recorder, and the capture that it writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnderWay {
    /// The recorder.
    pub recorder: Pid,
    /// The capture as the recorder names it.
    pub capture: PathBuf,
    /// Where it can be opened from here, whatever the recorder's folders are.
    pub descriptor: PathBuf,
}

/// The recordings of this host that we may see; of `pid` only, where one is given.
#[must_use]
pub fn under_way(root: &Root, pid: Option<Pid>) -> Vec<UnderWay> {
    let recorders = root.pids().unwrap_or_default();
    let recorders = recorders.into_iter().filter_map(|pid| root.process(pid).ok());
    let recorders = recorders.filter(|process| process.status().is_ok_and(|status| status.name == RECORDER));
    match pid {
        None => recorders.filter_map(|recorder| written(root, &recorder)).collect(),
        Some(pid) => {
            let recorded = shared_memory(root, pid);
            let shares = |recorder: &Process| {
                shared_memory(root, recorder.pid()).iter().any(|inode| recorded.contains(inode))
            };
            recorders.filter(shares).filter_map(|recorder| written(root, &recorder)).collect()
        }
    }
}

/// The capture that a recorder has open for appending.
fn written(root: &Root, recorder: &Process) -> Option<UnderWay> {
    let folder = root.path().join(recorder.pid().to_string());
    let descriptors = std::fs::read_dir(folder.join("fd")).ok()?.take(DESCRIPTORS_MAX).filter_map(Result::ok);
    descriptors.into_iter().find_map(|descriptor| {
        let path = descriptor.path();
        let is_file = std::fs::metadata(&path).is_ok_and(|data| data.is_file());
        let appends = || is_appending(&folder.join("fdinfo").join(descriptor.file_name()));
        if !is_file || !appends() || !is_capture(&mut File::open(&path).ok()?) {
            return None;
        }
        let capture = std::fs::read_link(&path).ok()?;
        Some(UnderWay { recorder: recorder.pid(), capture, descriptor: path })
    })
}

/// Whether the descriptor of this fdinfo file was opened for appending.
fn is_appending(fdinfo: &Path) -> bool {
    let text = std::fs::read_to_string(fdinfo).unwrap_or_default();
    let flags =
        text.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & rustix::fs::OFlags::APPEND.bits() != 0)
}

/// Inodes of the mapped memory that agents and recorders share.
fn shared_memory(root: &Root, pid: Pid) -> Vec<u64> {
    let maps = std::fs::read_to_string(root.path().join(pid.to_string()).join("maps")).unwrap_or_default();
    maps.lines().filter_map(inode_of_shared_memory).collect()
}

/// The inode in a line of a maps file, when it is of such memory.
fn inode_of_shared_memory(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let inode = fields.nth(4)?.parse().ok()?;
    fields.next()?.starts_with(memory::SHOWN).then_some(inode)
}

fn is_capture(file: &mut File) -> bool {
    let mut magic = [0; format::MAGIC.len()];
    file.seek(SeekFrom::Start(0)).is_ok() && file.read_exact(&mut magic).is_ok() && magic == format::MAGIC
}

/// Gives this moment a name in a recording under way.
///
/// # Errors
/// When the file is no capture, nobody records into it any more, or it cannot be written.
pub fn mark(capture: &Path, name: &str) -> Result<(), MarkError> {
    let now_ns = sys::monotonic_ns();
    for _ in 0..FILES_MAX {
        let marked = mark_file(capture, name, now_ns)?;
        if is_at(&marked, capture) {
            break;
        }
    }
    Ok(())
}

/// Whether this file is the one that the name leads to, or none is.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(file), Ok(named)) => (file.dev(), file.ino()) == (named.dev(), named.ino()),
        _ => true,
    }
}

fn mark_file(capture: &Path, name: &str, now_ns: u64) -> Result<File, MarkError> {
    let path = || capture.to_path_buf();
    let open = |source| MarkError::Open { path: path(), source };
    let mut file = File::options().read(true).append(true).open(capture).map_err(open)?;
    if !file.metadata().map_err(open)?.is_file() || !is_capture(&mut file) {
        return Err(MarkError::NotACapture { path: path() });
    }
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) != Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(MarkError::Ended { path: path() });
    }
    let mut encoder = Encoder::default();
    encoder.put(&Record::At(now_ns));
    encoder.put(&Record::Mark(name.into()));
    Writer::joining(&file)
        .records(Generation::RECORDING, now_ns, now_ns, &mut encoder)
        .map_err(|source| MarkError::Write { path: path(), source })?;
    Ok(file)
}
