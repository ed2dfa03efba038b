//! The lines of source that the code of one file was made from, where debug information says so.
//!
//! Invariant: debug information belongs to the file by its build id, or is in it. What it does not say stays
//! unknown; sections larger than [`MOST_BYTES`] together are not read.

use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

use addr2line::Context;
use flate2::read::ZlibDecoder;
use gimli::{Dwarf, EndianRcSlice, LittleEndian, SectionId};
use slackwater_remote::{ElfFile, Section};

/// Most bytes of debug information of one file that are held.
const MOST_BYTES: u64 = 256 << 20;
/// Of a compressed section's header: kind, reserved, size, alignment (gABI, `Elf64_Chdr`).
const HEADER_BYTES: usize = 24;
const ZLIB: u32 = 1;

/// Where distributions put what they have stripped from a file
/// (<https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html>).
pub(crate) fn separate(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(PathBuf::from(format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug")))
}

/// The lines of one file.
pub(crate) struct Lines(Context<EndianRcSlice<LittleEndian>>);

impl Lines {
    /// Those that `elf` holds itself.
    pub(crate) fn of(elf: &ElfFile) -> Option<Self> {
        elf.section(SectionId::DebugLine.name())?;
        let mut left_bytes = MOST_BYTES;
        let dwarf = Dwarf::load(|id| {
            let bytes = match elf.section(id.name()) {
                Some(section) => contents(elf, section, &mut left_bytes).ok_or(gimli::Error::Io)?,
                None => Vec::new(),
            };
            Ok::<_, gimli::Error>(EndianRcSlice::new(Rc::from(bytes), LittleEndian))
        });
        Context::from_dwarf(dwarf.ok()?).ok().map(Self)
    }

    /// File and line of an address: of the function that is called by its symbol's name, also where the code
    /// of another was put into it.
    pub(crate) fn at(&self, address: u64) -> Option<(String, u32)> {
        let mut frames = self.0.find_frames(address).skip_all_loads().ok()?;
        let mut outermost = None;
        while let Ok(Some(frame)) = frames.next() {
            outermost = frame.location;
        }
        let location = outermost?;
        Some((location.file?.to_owned(), location.line?))
    }
}

/// A section as its maker wrote it; `None` when it is too large or damaged.
fn contents(elf: &ElfFile, section: &Section, left_bytes: &mut u64) -> Option<Vec<u8>> {
    let bytes = elf.contents(section).ok()?;
    let bytes = if section.is_compressed { inflated(&bytes, *left_bytes)? } else { bytes };
    *left_bytes = left_bytes.checked_sub(bytes.len() as u64)?;
    Some(bytes)
}

fn inflated(bytes: &[u8], most_bytes: u64) -> Option<Vec<u8>> {
    let (header, packed) = bytes.split_at_checked(HEADER_BYTES)?;
    let kind = u32::from_le_bytes(header[..4].try_into().ok()?);
    let n_bytes = u64::from_le_bytes(header[8..16].try_into().ok()?);
    if kind != ZLIB || n_bytes > most_bytes {
        return None;
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(packed).take(n_bytes).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 == n_bytes).then_some(plain)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    #[test]
    fn stripped_code_has_its_lines_in_a_file_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let run = |words: &str| {
            let mut words = words.split(' ');
            let mut command = Command::new(words.next().unwrap());
            assert!(command.args(words).current_dir(&folder).status().unwrap().success());
        };
        std::fs::write(folder.path().join("one.c"), "int x;\nint planted(int y) {\n    return x * y;\n}\n")
            .unwrap();
        run("cc -g -O2 -shared -fPIC -o one.so one.c");
        run("objcopy --only-keep-debug one.so one.debug");
        run("strip one.so");
        let open = |name: &str| ElfFile::open(File::open(folder.path().join(name)).unwrap()).unwrap();
        assert!(Lines::of(&open("one.so")).is_none());
        let separate = open("one.debug");
        let mut address = 0;
        separate.functions(|name, at, _| address = if name == b"planted" { at } else { address });
        let lines = Lines::of(&separate).unwrap();
        let (file, line) = lines.at(address).unwrap();
        assert!(file.ends_with("/one.c") && (2..=3).contains(&line), "{file}:{line}");
        assert_eq!(lines.at(0), None);
    }

    #[test]
    fn separate_files_are_found_by_build_id() {
        let found = separate(&[0xab, 0x0c, 0xde]).unwrap();
        assert_eq!(found.to_str(), Some("/usr/lib/debug/.build-id/ab/0cde.debug"));
        assert_eq!(separate(&[0xab]), None);
    }

    #[test]
    fn no_section_unpacks_to_more_than_it_says() {
        use std::io::Write;
        let packed = |n_bytes: u64, bytes: &[u8]| {
            let mut section = vec![0; HEADER_BYTES];
            section[0] = ZLIB as u8;
            section[8..16].copy_from_slice(&n_bytes.to_le_bytes());
            let mut encoder = flate2::write::ZlibEncoder::new(section, flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(inflated(&packed(4, b"abcd"), 100), Some(b"abcd".to_vec()));
        assert_eq!(inflated(&packed(4, b"abc"), 100), None);
        assert_eq!(inflated(&packed(101, &[0; 101]), 100), None);
        // A bomb: what is over the size that was told is not unpacked.
        assert_eq!(inflated(&packed(4, &[0; 1 << 20]), 100).map(|plain| plain.len()), Some(4));
        assert_eq!(inflated(b"short", 100), None);
    }
}
