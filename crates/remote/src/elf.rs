//! The parts of an ELF file that are used: program headers, section headers, symbols.
//!
//! Invariant: the file is the target's and may lie. Every count and size is capped before memory is
//! taken for it, every offset is checked by reading; nothing is followed twice.

use std::fs::File;
use std::os::unix::fs::FileExt;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::{LittleEndian, pod};

/// Most program headers; linkers make about a dozen.
const MOST_SEGMENTS: usize = 512;
/// Most section headers; linked files have a few dozen.
const MOST_SECTIONS: usize = 8192;
/// Most symbols of one table; a debug build of Chromium's largest library has about a million.
pub(crate) const MOST_SYMBOLS: usize = 2 << 20;
/// Most bytes of symbol names of one table.
pub(crate) const MOST_NAME_BYTES: u64 = 64 << 20;
/// Most bytes of one section that is handed out whole.
pub(crate) const MOST_SECTION_BYTES: u64 = 64 << 20;

/// Why a file cannot be used as ELF.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] std::io::Error),
    /// It is not a 64-bit little-endian ELF file.
    #[error("not a 64-bit little-endian ELF file")]
    Foreign,
    /// Its headers contradict each other, or are larger than those of any honest file.
    #[error("the {0} of the ELF file make no sense")]
    Malformed(&'static str),
}

/// A loadable segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Address that the file gives it.
    pub address: u64,
    /// Bytes in memory; those that the file does not hold are zeros (`.bss`).
    pub memory_bytes: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its name, lossily.
    pub name: String,
    /// Address that the file gives it; 0 when it is not loaded.
    pub address: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether the file holds it compressed, behind a header (gABI, `Elf64_Chdr`).
    pub is_compressed: bool,
    pub(crate) kind: u32,
    pub(crate) link: usize,
}

/// A symbol: where, how large, and whether it is an old version kept for old programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Symbol {
    pub(crate) address: u64,
    pub(crate) bytes: u64,
    pub(crate) is_old_version: bool,
}

/// Which tables of symbols are looked through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tables {
    /// The dynamic one: what the loader sees.
    Dynamic,
    /// The dynamic one, then the static one.
    Both,
}

impl Tables {
    const fn kinds(self) -> &'static [u32] {
        match self {
            Self::Dynamic => &[elf::SHT_DYNSYM.0],
            Self::Both => &[elf::SHT_DYNSYM.0, elf::SHT_SYMTAB.0],
        }
    }
}

/// An opened ELF file.
#[derive(Debug)]
pub struct ElfFile {
    file: File,
    /// Its loadable segments, in file order.
    pub segments: Vec<Segment>,
    /// Its sections; empty when they were stripped.
    pub sections: Vec<Section>,
}

impl ElfFile {
    /// Reads the headers of `file`.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn open(file: File) -> Result<Self, ElfError> {
        let bytes = read(&file, 0, size_of::<FileHeader64<LittleEndian>>())?;
        let (header, _) =
            pod::from_bytes::<FileHeader64<LittleEndian>>(&bytes).map_err(|()| ElfError::Foreign)?;
        let ident = &bytes[..6];
        // Class 2 is 64-bit, data encoding 1 little-endian.
        if !ident.starts_with(b"\x7fELF") || ident[4] != 2 || ident[5] != 1 {
            return Err(ElfError::Foreign);
        }
        let endian = LittleEndian;
        let segments = segments(&file, header.e_phoff.get(endian), header.e_phnum.get(endian).into())?;
        // Without sections there are no symbols, but the segments still serve.
        let sections = sections(
            &file,
            header.e_shoff.get(endian),
            header.e_shnum.get(endian).into(),
            header.e_shstrndx.get(endian).0.into(),
        )
        .unwrap_or_default();
        Ok(Self { file, segments, sections })
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The contents of a section as the file holds them, at most 64 MiB.
    ///
    /// # Errors
    /// [`ElfError::Malformed`] for a larger one.
    pub fn contents(&self, section: &Section) -> Result<Vec<u8>, ElfError> {
        if section.kind == elf::SHT_NOBITS.0 {
            return Ok(Vec::new());
        }
        if section.bytes > MOST_SECTION_BYTES {
            return Err(ElfError::Malformed("section sizes"));
        }
        read(&self.file, section.offset, section.bytes as usize)
    }

    /// The file itself.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// What must be added to the file's addresses, when `offset` of the file is mapped at `addr` for
    /// execution. `None` when no executable segment holds it.
    pub fn bias(&self, addr: u64, offset: u64) -> Option<u64> {
        const PAGE: u64 = slackwater_base::PAGE_SIZE;
        self.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let first = segment.offset & !(PAGE - 1);
            let end = segment.offset.checked_add(segment.file_bytes)?;
            (first..end).contains(&offset).then(|| {
                let address = (segment.address & !(PAGE - 1)).wrapping_add(offset - first);
                addr.wrapping_sub(address)
            })
        })
    }

    /// Calls `visit` with name, address and size of each symbol in executable segments: those of the
    /// dynamic table first, then those of the static one, which may repeat them.
    pub fn functions(&self, mut visit: impl FnMut(&[u8], u64, u64)) {
        let is_code = |address: u64| {
            self.segments.iter().filter(|segment| segment.executable).any(|segment| {
                address.checked_sub(segment.address).is_some_and(|inside| inside < segment.memory_bytes)
            })
        };
        self.symbols(Tables::Both, |name, symbol| {
            if is_code(symbol.address) {
                visit(name, symbol.address, symbol.bytes);
            }
            std::ops::ControlFlow::Continue(())
        });
    }

    /// Calls `visit` with the name of each defined symbol of code or data, until it says to stop:
    /// those of the dynamic table first, and those of the static one unless only the former are
    /// wanted.
    pub(crate) fn symbols(
        &self,
        tables: Tables,
        mut visit: impl FnMut(&[u8], Symbol) -> std::ops::ControlFlow<()>,
    ) {
        for kind in tables.kinds() {
            for table in self.sections.iter().filter(|section| section.kind == *kind) {
                // A table that makes no sense is as good as none.
                if let Ok(std::ops::ControlFlow::Break(())) = self.visit_table(table, &mut visit) {
                    return;
                }
            }
        }
    }

    fn visit_table(
        &self,
        table: &Section,
        visit: &mut impl FnMut(&[u8], Symbol) -> std::ops::ControlFlow<()>,
    ) -> Result<std::ops::ControlFlow<()>, ElfError> {
        const BATCH: usize = 1024;
        let entry_bytes = size_of::<Sym64<LittleEndian>>();
        let count = table.bytes as usize / entry_bytes;
        let names = self.sections.get(table.link).ok_or(ElfError::Malformed("symbol tables"))?;
        if count > MOST_SYMBOLS || names.bytes > MOST_NAME_BYTES {
            return Err(ElfError::Malformed("symbol tables"));
        }
        let names = read(&self.file, names.offset, names.bytes as usize)?;
        let versions = self.versions(table, count);
        for first in (0..count).step_by(BATCH) {
            let batch = BATCH.min(count - first);
            let offset = table.offset.wrapping_add((first * entry_bytes) as u64);
            let bytes = read(&self.file, offset, batch * entry_bytes)?;
            let (symbols, _) = pod::slice_from_bytes::<Sym64<LittleEndian>>(&bytes, batch)
                .map_err(|()| ElfError::Malformed("symbol tables"))?;
            for (index, symbol) in symbols.iter().enumerate() {
                let kind = symbol.st_type();
                let is_place = kind == elf::STT_FUNC || kind == elf::STT_OBJECT || kind == elf::STT_NOTYPE;
                if !is_place || symbol.st_shndx.get(LittleEndian) == elf::SHN_UNDEF {
                    continue;
                }
                let Some(name) = text_at(&names, symbol.st_name.get(LittleEndian) as usize) else { continue };
                // The high bit of a version marks one that new programs do not link against.
                let version = versions.get((first + index) * 2 + 1);
                let found = Symbol {
                    address: symbol.st_value.get(LittleEndian),
                    bytes: symbol.st_size.get(LittleEndian),
                    is_old_version: version.is_some_and(|high| high & 0x80 != 0),
                };
                if visit(name, found).is_break() {
                    return Ok(std::ops::ControlFlow::Break(()));
                }
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }

    /// The version numbers of a dynamic table's symbols, two bytes each; empty when there are none.
    fn versions(&self, table: &Section, count: usize) -> Vec<u8> {
        let index = self.sections.iter().position(|section| std::ptr::eq(section, table));
        self.sections
            .iter()
            .find(|section| section.kind == elf::SHT_GNU_VERSYM.0 && Some(section.link) == index)
            .and_then(|section| {
                read(&self.file, section.offset, (section.bytes as usize).min(count * 2)).ok()
            })
            .unwrap_or_default()
    }
}

fn segments(file: &File, offset: u64, count: usize) -> Result<Vec<Segment>, ElfError> {
    if count > MOST_SEGMENTS {
        return Err(ElfError::Malformed("program headers"));
    }
    let bytes = read(file, offset, count * size_of::<ProgramHeader64<LittleEndian>>())?;
    let (headers, _) = pod::slice_from_bytes::<ProgramHeader64<LittleEndian>>(&bytes, count)
        .map_err(|()| ElfError::Malformed("program headers"))?;
    let endian = LittleEndian;
    Ok(headers
        .iter()
        .filter(|header| header.p_type.get(endian) == elf::PT_LOAD)
        .map(|header| {
            let flags = header.p_flags.get(endian).0;
            Segment {
                address: header.p_vaddr.get(endian),
                memory_bytes: header.p_memsz.get(endian),
                offset: header.p_offset.get(endian),
                file_bytes: header.p_filesz.get(endian),
                writable: flags & elf::PF_W.0 != 0,
                executable: flags & elf::PF_X.0 != 0,
            }
        })
        .collect())
}

fn sections(file: &File, offset: u64, count: usize, names: usize) -> Result<Vec<Section>, ElfError> {
    if count > MOST_SECTIONS {
        return Err(ElfError::Malformed("section headers"));
    }
    let bytes = read(file, offset, count * size_of::<SectionHeader64<LittleEndian>>())?;
    let (headers, _) = pod::slice_from_bytes::<SectionHeader64<LittleEndian>>(&bytes, count)
        .map_err(|()| ElfError::Malformed("section headers"))?;
    let endian = LittleEndian;
    let names = match headers.get(names) {
        // Names of sections take a few hundred bytes.
        Some(header) if header.sh_size.get(endian) <= 1 << 20 => {
            read(file, header.sh_offset.get(endian), header.sh_size.get(endian) as usize)?
        }
        _ => Vec::new(),
    };
    Ok(headers
        .iter()
        .map(|header| Section {
            name: text_at(&names, header.sh_name.get(endian) as usize)
                .map(|name| String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned())
                .unwrap_or_default(),
            address: header.sh_addr.get(endian),
            offset: header.sh_offset.get(endian),
            bytes: header.sh_size.get(endian),
            is_compressed: header.sh_flags.get(endian).contains(elf::SHF_COMPRESSED),
            kind: header.sh_type.get(endian).0,
            link: header.sh_link.get(endian) as usize,
        })
        .collect())
}

/// The text up to the NUL at `offset` of a string table.
pub(crate) fn text_at(table: &[u8], offset: usize) -> Option<&[u8]> {
    let text = table.get(offset..)?;
    text.iter().position(|byte| *byte == 0).map(|end| &text[..end])
}

/// Exactly `len` bytes at `offset`. The caller has capped `len`.
pub(crate) fn read(file: &File, offset: u64, len: usize) -> Result<Vec<u8>, ElfError> {
    // A length that the file does not have is not worth taking memory for.
    if len as u64 > file.metadata()?.len() {
        return Err(ElfError::Malformed("sizes"));
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};
    use std::ops::ControlFlow;

    use proptest::prelude::*;

    use super::*;

    fn with_bytes(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn visit_everything(file: File) -> usize {
        let Ok(elf) = ElfFile::open(file) else { return 0 };
        let mut count = 0;
        elf.symbols(Tables::Both, |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        for section in &elf.sections {
            let _ = elf.contents(section);
        }
        let _ = elf.bias(0x1000, 0);
        let _ = elf.slots(&["malloc", "free"]);
        count
    }

    #[test]
    fn an_honest_file() {
        let elf = ElfFile::open(File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert!(elf.segments.iter().any(|segment| segment.executable && !segment.writable));
        assert!(elf.section(".text").is_some());
        assert!(visit_everything(elf.file().try_clone().unwrap()) > 100);
    }

    #[test]
    fn fault_35_a_sparse_file_that_claims_much_is_not_believed() {
        let mut bytes = std::fs::read("/bin/true").unwrap();
        // The section header table of 65535 entries begins at 1 GiB of a file of 1 TiB of zeros.
        bytes[0x28..0x30].copy_from_slice(&(1_u64 << 30).to_le_bytes());
        bytes[0x3c..0x3e].copy_from_slice(&u16::MAX.to_le_bytes());
        let mut file = with_bytes(&bytes);
        file.set_len(1 << 40).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let elf = ElfFile::open(file).unwrap();
        assert!(elf.sections.is_empty() && !elf.segments.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn fault_35_no_file_makes_us_panic(
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
            keep in any::<proptest::sample::Index>(),
            in_headers in any::<bool>(),
        ) {
            let mut bytes = std::fs::read("/bin/true").unwrap();
            let sections = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
            for (index, byte) in flips {
                // Half of the files are damaged where it hurts.
                let at = match in_headers {
                    true if byte % 2 == 0 => index.index(64 + 13 * 56),
                    true => sections + index.index(bytes.len() - sections),
                    false => index.index(bytes.len()),
                };
                bytes[at] = byte;
            }
            if !in_headers {
                bytes.truncate(keep.index(bytes.len()));
            }
            visit_everything(with_bytes(&bytes));
        }
    }
}
