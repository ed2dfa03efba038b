//! /proc/PID/maps: the mappings, and what lies behind each.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{Access, FileId, Kind, Mapping, Sharing};

use crate::parse::mounts::{Filesystem, Mounts};
use crate::parse::{field, lines::Lines};

/// Most mappings that are read. The kernel's default limit is 65530 per process.
const MOST_MAPPINGS: usize = 4 << 20;

/// Why a maps file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapsError {
    /// The source failed.
    #[error("the list of mappings cannot be read")]
    Read(#[from] io::Error),
    /// A line is not a mapping.
    #[error("line {line} of the list of mappings makes no sense")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// More mappings than any honest process has.
    #[error("the list of mappings has more than {MOST_MAPPINGS} lines")]
    TooMany,
}

/// Reads a whole maps file into mappings sorted by address and disjoint.
///
/// The kernel hands the file out in pieces, between which a running target may change its mappings:
/// a mapping that begins before the end of the one read earlier is cut to what lies above it.
///
/// # Errors
/// [`MapsError`]; an empty file is no error but no mapping.
pub fn read(source: impl Read, mounts: &Mounts) -> Result<Vec<Mapping>, MapsError> {
    let mut lines = Lines::new(source);
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut number = 0;
    while let Some(line) = lines.next_line()? {
        number += 1;
        let mut mapping = parse_line(line, mounts).ok_or(MapsError::Line { line: number })?;
        if let Some(last) = mappings.last()
            && mapping.range.start < last.range.end
        {
            let cut = last.range.end.offset_from(mapping.range.start);
            mapping.range.start = last.range.end;
            mapping.offset = mapping.offset.wrapping_add(cut);
            if mapping.range.is_empty() {
                continue;
            }
        }
        mappings.push(mapping);
        if mappings.len() > MOST_MAPPINGS {
            return Err(MapsError::TooMany);
        }
    }
    Ok(mappings)
}

/// Parses one line: `55badbe1000-55badbe3000 r--p 00000000 fe:00 247282    /usr/bin/head`.
pub fn parse_line(line: &[u8], mounts: &Mounts) -> Option<Mapping> {
    let (range, rest) = field::next(line);
    let (permissions, rest) = field::next(rest);
    let (offset, rest) = field::next(rest);
    let (device, rest) = field::next(rest);
    let (inode, name) = field::next(rest);
    let range = parse_range(range)?;
    let &[read, write, execute, sharing] = permissions else { return None };
    let colon = device.iter().position(|byte| *byte == b':')?;
    let major = field::hex(&device[..colon])?;
    let minor = field::hex(&device[colon + 1..])?;
    let id = FileId { device: major << 32 | minor & 0xffff_ffff, inode: field::decimal(inode)? };
    let sharing = if sharing == b's' { Sharing::Shared } else { Sharing::Private };
    Some(Mapping {
        range,
        access: Access { read: read == b'r', write: write == b'w', execute: execute == b'x' },
        sharing,
        offset: field::hex(offset)?,
        kind: parse_kind(name, id, sharing, mounts),
    })
}

/// `start-end` in base 16, whole pages.
pub(crate) fn parse_range(text: &[u8]) -> Option<Range> {
    let dash = text.iter().position(|byte| *byte == b'-')?;
    let start = Addr(field::hex(&text[..dash])?);
    let end = Addr(field::hex(&text[dash + 1..])?);
    let whole = start < end && start.is_aligned(PAGE_SIZE) && end.is_aligned(PAGE_SIZE);
    whole.then(|| Range::new(start, end))
}

/// What the last column and the device number say together. Names in brackets are the kernel's own:
/// a file's path begins with a slash.
fn parse_kind(name: &[u8], id: FileId, sharing: Sharing, mounts: &Mounts) -> Kind {
    let lossy = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if name.is_empty() {
        return Kind::Anonymous { name: None };
    }
    if let Some(inner) = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")) {
        return match inner {
            b"heap" => Kind::Heap,
            b"stack" => Kind::Stack,
            _ => match (inner.strip_prefix(b"anon:"), inner.strip_prefix(b"anon_shmem:")) {
                (Some(given), _) => Kind::Anonymous { name: Some(lossy(given)) },
                (None, Some(given)) => Kind::Shmem { name: path(given) },
                // Kernels 3.4 to 4.4 name the stacks of threads; they are ordinary private maps.
                (None, None) if inner.starts_with(b"stack:") => Kind::Anonymous { name: None },
                (None, None) => Kind::Special,
            },
        };
    }
    let (name, deleted) = match name.strip_suffix(b" (deleted)") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    if name == b"/dev/zero" && sharing == Sharing::Private {
        return Kind::Anonymous { name: None };
    }
    if is_shmem(name, id, mounts) {
        return Kind::Shmem { name: path(name) };
    }
    Kind::File { path: path(name), id, deleted }
}

/// tmpfs by its mount; memfd, System V and shared anonymous maps by the names that the kernel gives
/// them on its internal mount, which has major number 0 and is in nobody's mount table.
fn is_shmem(name: &[u8], id: FileId, mounts: &Mounts) -> bool {
    let internal = [&b"/memfd:"[..], b"/SYSV", b"/dev/zero"];
    match mounts.filesystem(id.device) {
        Filesystem::Tmpfs => true,
        Filesystem::Other => id.device >> 32 == 0 && internal.iter().any(|prefix| name.starts_with(prefix)),
        Filesystem::Hugetlb | Filesystem::Cgroup1 | Filesystem::Cgroup2 => false,
    }
}

fn path(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&field::unescape(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Mounts {
        Mounts::read(&b"23 1 0:21 / /dev/shm rw - tmpfs tmpfs rw\n"[..]).unwrap()
    }

    fn kind(sharing: char, device_and_name: &str) -> Kind {
        let line = format!("7f0000000000-7f0000001000 rw-{sharing} 00001000 {device_and_name}");
        parse_line(line.as_bytes(), &mounts()).unwrap().kind
    }

    fn file(name: &str, minor: u64, inode: u64, deleted: bool) -> Kind {
        Kind::File { path: name.into(), id: FileId { device: 0xfe << 32 | minor, inode }, deleted }
    }

    #[test]
    fn every_kind_is_told_apart() {
        let check = |sharing, text, expected| assert_eq!(kind(sharing, text), expected, "{text}");
        let anonymous = |name: &str| Kind::Anonymous { name: Some(name.to_owned()) };
        let shmem = |name: &str| Kind::Shmem { name: name.into() };
        check('p', "00:00 0 ", Kind::Anonymous { name: None });
        check('p', "00:00 0        [heap]", Kind::Heap);
        check('p', "00:00 0        [stack]", Kind::Stack);
        check('p', "00:00 0        [stack:12]", Kind::Anonymous { name: None });
        check('p', "00:00 0        [vdso]", Kind::Special);
        check('p', "00:00 0        [vvar_vclock]", Kind::Special);
        check('p', "00:00 0        [anon:glibc: malloc]", anonymous("glibc: malloc"));
        check('s', "00:01 5        [anon_shmem:cache]", shmem("cache"));
        check('s', "00:01 5        /dev/zero (deleted)", shmem("/dev/zero"));
        check('p', "00:05 5        /dev/zero", Kind::Anonymous { name: None });
        check('s', "00:01 5        /memfd:x (deleted)", shmem("/memfd:x"));
        check('p', "00:01 5        /memfd:x (deleted)", shmem("/memfd:x"));
        check('s', "00:01 5        /SYSV00000000 (deleted)", shmem("/SYSV00000000"));
        check('s', "00:15 5        /dev/shm/psm_1", shmem("/dev/shm/psm_1"));
        check('p', "fe:01 9        /usr/lib/libc.so.6", file("/usr/lib/libc.so.6", 1, 9, false));
        check('p', "fe:01 9        /tmp/a b (deleted)", file("/tmp/a b", 1, 9, true));
        check('p', "fe:01 9        /tmp/[heap]", file("/tmp/[heap]", 1, 9, false));
        check('p', "fe:01 9        /memfd:forged", file("/memfd:forged", 1, 9, false));
        check('p', "fe:01 9        /tmp/a\\012b", file("/tmp/a\nb", 1, 9, false));
    }

    #[test]
    fn names_need_not_be_text() {
        let line = b"1000-2000 r-xp 00000000 fe:00 7 /tmp/\xff\xfe x";
        let mapping = parse_line(line, &mounts()).unwrap();
        assert_eq!(mapping.path().unwrap().as_os_str().as_bytes(), b"/tmp/\xff\xfe x");
        assert!(mapping.access.execute && !mapping.access.write);
    }

    #[test]
    fn a_list_torn_between_two_pieces_stays_sorted_and_disjoint() {
        let text = b"1000-4000 rw-p 00000000 00:00 0\n3000-5000 rw-p 00001000 fe:00 7 /x\n3000-4000 rw-p 0 00:00 0\n";
        let mappings = read(&text[..], &mounts()).unwrap();
        assert_eq!(mappings.len(), 2);
        assert_eq!(mappings[1].range, Range::new(Addr(0x4000), Addr(0x5000)));
        assert_eq!(mappings[1].offset, 0x2000);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let text = b"1000-2000 rw-p 00000000 00:00 0\n2000-1000 rw-p 00000000 00:00 0\n";
        assert!(matches!(read(&text[..], &mounts()), Err(MapsError::Line { line: 2 })));
    }
}
