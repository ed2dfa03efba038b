//! What the library to preload turns out to be, from the bytes of its file: the loader only prints a
//! line about one that does not fit, and starts the service without it.
//!
//! Invariant: as in [`crate::program`], the file may hold anything.

use std::fmt;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, SectionTable};
use object::{Endianness, ReadRef, StringTable};

use crate::identity::Identity;

/// A release of glibc.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GlibcRelease {
    /// 2.
    pub major: u32,
    /// Of the release.
    pub minor: u32,
}

impl fmt::Display for GlibcRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl GlibcRelease {
    /// The release that a symbol version such as `GLIBC_2.17` names.
    pub fn of_version(name: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split_once('.')?;
        // A third number is that of a release before 2.4.
        let minor = minor.split('.').next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// How much of a file [`begins_shared_object`] looks at, bytes.
pub const HEADER_BYTES: u64 = 20;

/// Whether a file that begins like this is a shared object for x86-64. Position-independent programs look
/// alike.
pub fn begins_shared_object(header: &[u8]) -> bool {
    let kind = header.get(16..18).map(|kind| u16::from_le_bytes([kind[0], kind[1]]));
    Identity::of(header).is_some_and(Identity::is_ours) && kind == Some(elf::ET_DYN.0)
}

/// Why a library cannot serve as malloc.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryFault {
    /// It is no library.
    #[error("it is not a shared library")]
    NoLibrary,
    /// It is for another processor, or another mode of this one.
    #[error("it is built for {0}, not for x86-64")]
    Architecture(String),
    /// It is for musl.
    #[error("it is built for musl, not for glibc")]
    Musl,
    /// It replaces nothing.
    #[error("it does not export malloc")]
    NoMalloc,
    /// The target's C library is too old for it.
    #[error("it needs symbols of glibc {needed}, and the target's glibc has those up to {present}")]
    OldGlibc {
        /// The newest that the library needs.
        needed: GlibcRelease,
        /// The newest that there are.
        present: GlibcRelease,
    },
}

/// The newest release whose symbols a library needs of `libc.so.6`, after checking that it can serve as malloc; `None` when it
/// names none.
pub fn check<'data, R: ReadRef<'data>>(data: R) -> Result<Option<GlibcRelease>, LibraryFault> {
    let identity = Identity::of(data).ok_or(LibraryFault::NoLibrary)?;
    if !identity.is_ours() {
        return Err(LibraryFault::Architecture(identity.name()));
    }
    let damaged = |_| LibraryFault::NoLibrary;
    let header = FileHeader64::<Endianness>::parse(data).map_err(damaged)?;
    if header.e_type.get(Endianness::Little) != elf::ET_DYN {
        return Err(LibraryFault::NoLibrary);
    }
    let sections = header.sections(Endianness::Little, data).map_err(damaged)?;
    if needs_musl(data, &sections).map_err(damaged)? {
        return Err(LibraryFault::Musl);
    }
    let symbols = sections.symbols(Endianness::Little, data, elf::SHT_DYNSYM).map_err(damaged)?;
    let exports_malloc = symbols.iter().any(|symbol| {
        symbol.st_shndx.get(Endianness::Little) != elf::SHN_UNDEF
            && symbols.symbol_name(Endianness::Little, symbol) == Ok(&b"malloc"[..])
    });
    if !exports_malloc {
        return Err(LibraryFault::NoMalloc);
    }
    needed_glibc(data, &sections).map_err(damaged)
}

/// The newest release whose symbols a `libc.so.6` defines. Releases that brought no symbol of their own,
/// such as 2.31, are not told from the one before.
pub fn newest_symbols_of_libc<'data, R: ReadRef<'data>>(data: R) -> Option<GlibcRelease> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let sections = header.sections(Endianness::Little, data).ok()?;
    let (mut definitions, strings) = sections.gnu_verdef(Endianness::Little, data).ok()??;
    let strings = sections.strings(Endianness::Little, data, strings).ok()?;
    let mut newest = None;
    while let Some((_, mut names)) = definitions.next().ok()? {
        // The first name is the version's own, the others are what it builds on.
        if let Some(name) = names.next().ok()? {
            let name = name.name(Endianness::Little, strings).ok()?;
            newest = newest.max(GlibcRelease::of_version(name));
        }
    }
    newest
}

type Sections<'data, R> = SectionTable<'data, FileHeader64<Endianness>, R>;

fn needs_musl<'data, R: ReadRef<'data>>(data: R, sections: &Sections<'data, R>) -> object::Result<bool> {
    let Some((entries, strings)) = sections.dynamic(Endianness::Little, data)? else { return Ok(false) };
    let strings: StringTable<'data, R> = sections.strings(Endianness::Little, data, strings)?;
    for entry in entries {
        if entry.d_tag.get(Endianness::Little) != elf::DT_NEEDED {
            continue;
        }
        let at = u32::try_from(entry.d_val.get(Endianness::Little)).unwrap_or(u32::MAX);
        // musl's libc is called libc.musl-x86_64.so.1 by Alpine, libc.so by musl-gcc.
        if strings.get(at).is_ok_and(|name| name.starts_with(b"libc.musl-") || name == b"libc.so") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn needed_glibc<'data, R: ReadRef<'data>>(
    data: R,
    sections: &Sections<'data, R>,
) -> object::Result<Option<GlibcRelease>> {
    let Some((mut files, strings)) = sections.gnu_verneed(Endianness::Little, data)? else { return Ok(None) };
    let strings = sections.strings(Endianness::Little, data, strings)?;
    let mut newest = None;
    while let Some((file, mut versions)) = files.next()? {
        // Older releases have libraries beside it with symbols of their own, which say nothing about it.
        if file.file(Endianness::Little, strings)? != b"libc.so.6" {
            continue;
        }
        while let Some(version) = versions.next()? {
            newest = newest.max(GlibcRelease::of_version(version.name(Endianness::Little, strings)?));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_objects_of_this_machine_are_libraries() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(begins_shared_object(&own[..20]), "position-independent programs and libraries look alike");
        let check = |at: usize, byte: u8| {
            let mut header = own[..20].to_vec();
            header[at] = byte;
            assert!(!begins_shared_object(&header), "byte {at}");
        };
        check(0, 0);
        check(4, 1);
        check(5, 2);
        check(16, 2);
        check(18, 183);
        assert!(!begins_shared_object(b"#!/bin/sh"));
    }
}
