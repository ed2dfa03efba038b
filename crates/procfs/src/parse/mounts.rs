//! /proc/PID/mountinfo: which device numbers are tmpfs or hugetlbfs, and where cgroups are mounted.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::parse::{field, lines::Lines};

/// Most mounts that are remembered. Hosts full of containers have a few thousand.
const MOST_MOUNTS: usize = 100_000;

/// The file systems whose pages the kernel accounts differently from a file's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filesystem {
    /// tmpfs and devtmpfs: pages are shared memory.
    Tmpfs,
    /// hugetlbfs: pages are not in RSS.
    Hugetlb,
    /// The unified cgroup tree.
    Cgroup2,
    /// A cgroup tree of version 1.
    Cgroup1,
    /// Any other.
    Other,
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Device number, `major << 32 | minor`.
    pub device: u64,
    /// The directory of the file system that is mounted.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Of which kind it is.
    pub filesystem: Filesystem,
    /// Options of the file system; for cgroups of version 1, its controllers.
    pub options: String,
}

/// The mounts of one mount namespace.
#[derive(Clone, Default, Debug)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads mountinfo. Lines that make no sense are left out.
    ///
    /// # Errors
    /// What the source said.
    pub fn read(source: impl Read) -> io::Result<Self> {
        let mut lines = Lines::new(source);
        let mut mounts = Vec::new();
        while let Some(line) = lines.next_line()? {
            mounts.extend(parse_line(line));
            if mounts.len() >= MOST_MOUNTS {
                break;
            }
        }
        Ok(Self(mounts))
    }

    /// All mounts, in mount order.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The file system on `device`.
    pub fn filesystem(&self, device: u64) -> Filesystem {
        self.0.iter().find(|mount| mount.device == device).map_or(Filesystem::Other, |mount| mount.filesystem)
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let (_id, rest) = field::next(line);
    let (_parent, rest) = field::next(rest);
    let (device, rest) = field::next(rest);
    let (root, rest) = field::next(rest);
    let (point, rest) = field::next(rest);
    let mut rest = rest;
    loop {
        let (field, after) = field::next(rest);
        rest = after;
        if field.is_empty() {
            return None;
        } else if field == b"-" {
            break;
        }
    }
    let (kind, rest) = field::next(rest);
    let (_source, options) = field::next(rest);
    let colon = device.iter().position(|byte| *byte == b':')?;
    let device = field::decimal(&device[..colon])? << 32 | field::decimal(&device[colon + 1..])?;
    let path = |name| PathBuf::from(OsString::from_vec(field::unescape(name).into_owned()));
    Some(Mount {
        device,
        root: path(root),
        point: path(point),
        filesystem: match kind {
            b"tmpfs" | b"devtmpfs" => Filesystem::Tmpfs,
            b"hugetlbfs" => Filesystem::Hugetlb,
            b"cgroup2" => Filesystem::Cgroup2,
            b"cgroup" => Filesystem::Cgroup1,
            _ => Filesystem::Other,
        },
        options: String::from_utf8_lossy(options).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_escapes() {
        let text = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:4 - ext3 /dev/root rw\n\
            23 1 0:21 / /dev/shm rw - tmpfs tmpfs rw\nnonsense\n\
            30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let mounts = Mounts::read(&text[..]).unwrap();
        assert_eq!(mounts.iter().count(), 3);
        assert_eq!(mounts.filesystem(21), Filesystem::Tmpfs);
        assert_eq!(mounts.filesystem(98 << 32), Filesystem::Other);
        let first = mounts.iter().next().unwrap();
        assert_eq!(first.point, PathBuf::from("/mnt 2"));
        let last = mounts.iter().last().unwrap();
        assert_eq!((last.filesystem, last.options.as_str()), (Filesystem::Cgroup1, "rw,memory"));
    }
}
