//! One mapping (VMA) of the target: a line of /proc/PID/maps, a load segment of a core file.

use std::path::{Path, PathBuf};

use slackwater_base::Range;

/// What a mapping may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Bytes may be read.
    pub read: bool,
    /// Bytes may be written.
    pub write: bool,
    /// Bytes may be executed.
    pub execute: bool,
}

/// Whether writes are seen by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Copy on write.
    Private,
    /// Shared with whoever maps the same object.
    Shared,
}

/// Identity of a mapped file: two mappings with the same one are of the same file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId {
    /// Device number as /proc/PID/maps gives it, `major << 32 | minor`.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// What lies behind a mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing: an anonymous private map. `name` is what `PR_SET_VMA_ANON_NAME` gave it, if anything.
    Anonymous {
        /// Without the `[anon:` around it.
        name: Option<String>,
    },
    /// `[heap]`: the program break's map.
    Heap,
    /// `[stack]`: the main thread's.
    Stack,
    /// `[vdso]`, `[vvar]`, `[vsyscall]` and whatever the kernel adds to them.
    Special,
    /// A regular file.
    File {
        /// As the target's mount namespace names it, without the ` (deleted)` mark.
        path: PathBuf,
        /// Identity of the file.
        id: FileId,
        /// Whether the name has been unlinked since.
        deleted: bool,
    },
    /// tmpfs, memfd, System V shared memory, shared anonymous maps.
    Shmem {
        /// The name the kernel shows: `/dev/shm/x`, `/memfd:x`, `/SYSV00000000`, `/dev/zero`.
        name: PathBuf,
    },
}

/// One mapping of the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Its addresses, whole pages.
    pub range: Range,
    /// What it may be used for.
    pub access: Access,
    /// Whether writes are shared.
    pub sharing: Sharing,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// What lies behind it.
    pub kind: Kind,
}

impl Mapping {
    /// The mapped file's path, for regular files.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The mapped file's identity, for regular files.
    pub const fn file(&self) -> Option<FileId> {
        match &self.kind {
            Kind::File { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The last component of the mapped file's path, lossily, for regular files.
    pub fn file_name(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.path()?.file_name()?.to_string_lossy())
    }

    /// Private, writable and backed by nothing: where allocators keep their memory.
    pub const fn is_anonymous_data(&self) -> bool {
        matches!(self.kind, Kind::Anonymous { .. } | Kind::Heap)
            && matches!(self.sharing, Sharing::Private)
            && self.access.write
            && self.access.read
    }
}
