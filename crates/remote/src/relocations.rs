//! Where an ELF file wants the addresses of functions that other files define.
//!
//! Invariant: as in `elf`, the file may lie. Tables are read in batches, their sizes are capped, and
//! no more than [`MOST_SLOTS`] words are named, however many a file claims.

use object::elf::{self, Rela64, Sym64};
use object::{LittleEndian, pod};

use crate::ElfError;
use crate::elf::{ElfFile, MOST_NAME_BYTES, MOST_SECTION_BYTES, MOST_SYMBOLS, Section, read, text_at};

/// Most words that are named. A file has one linkage table slot for each name, and a few more where it
/// keeps the address in its data.
const MOST_SLOTS: usize = 1024;
/// Entries of a table that are read at a time.
const BATCH: usize = 4096;

impl ElfFile {
    /// The words that the loader fills with the address of one of `names`: the position of the name, and
    /// the address that the file gives the word.
    pub(crate) fn slots(&self, names: &[&str]) -> Vec<(usize, u64)> {
        let mut slots = Vec::new();
        for (index, table) in self.sections.iter().enumerate() {
            if table.kind != elf::SHT_DYNSYM.0 {
                continue;
            }
            // A table that makes no sense is as good as none.
            let wanted = self.positions(table, names).unwrap_or_default();
            let relocations =
                self.sections.iter().filter(|one| one.kind == elf::SHT_RELA.0 && one.link == index);
            for section in relocations.filter(|_| !wanted.is_empty()) {
                let _ = self.collect(section, &wanted, &mut slots);
            }
        }
        slots
    }

    /// The positions in a table of symbols that stand for `names`, ascending, and for which.
    fn positions(&self, table: &Section, names: &[&str]) -> Result<Vec<(u32, usize)>, ElfError> {
        let count = table.bytes as usize / size_of::<Sym64<LittleEndian>>();
        let texts = self.sections.get(table.link).ok_or(ElfError::Malformed("symbol tables"))?;
        if count > MOST_SYMBOLS || texts.bytes > MOST_NAME_BYTES {
            return Err(ElfError::Malformed("symbol tables"));
        }
        let texts = read(self.file(), texts.offset, texts.bytes as usize)?;
        let mut found = Vec::new();
        self.batches::<Sym64<LittleEndian>>(table, count, |index, symbol| {
            let text = text_at(&texts, symbol.st_name.get(LittleEndian) as usize);
            let name = names.iter().position(|name| text == Some(name.as_bytes()));
            found.extend(name.map(|name| (index as u32, name)));
        })?;
        Ok(found)
    }

    fn collect(
        &self,
        section: &Section,
        wanted: &[(u32, usize)],
        slots: &mut Vec<(usize, u64)>,
    ) -> Result<(), ElfError> {
        const KINDS: [u32; 3] = [elf::R_X86_64_64.0, elf::R_X86_64_GLOB_DAT.0, elf::R_X86_64_JUMP_SLOT.0];
        if section.bytes > MOST_SECTION_BYTES {
            return Err(ElfError::Malformed("relocations"));
        }
        let count = section.bytes as usize / size_of::<Rela64<LittleEndian>>();
        self.batches::<Rela64<LittleEndian>>(section, count, |_, relocation| {
            // r_info: the symbol's position above the kind of relocation.
            let info = relocation.r_info.get(LittleEndian);
            if !KINDS.contains(&(info as u32)) || slots.len() >= MOST_SLOTS {
                return;
            }
            if let Ok(at) = wanted.binary_search_by_key(&((info >> 32) as u32), |(index, _)| *index) {
                slots.push((wanted[at].1, relocation.r_offset.get(LittleEndian)));
            }
        })
    }

    /// Calls `visit` with each of the first `count` entries of a section and its position.
    fn batches<T: pod::Pod>(
        &self,
        section: &Section,
        count: usize,
        mut visit: impl FnMut(usize, &T),
    ) -> Result<(), ElfError> {
        for first in (0..count).step_by(BATCH) {
            let batch = BATCH.min(count - first);
            let offset = section.offset.wrapping_add((first * size_of::<T>()) as u64);
            let bytes = read(self.file(), offset, batch * size_of::<T>())?;
            let (entries, _) =
                pod::slice_from_bytes::<T>(&bytes, batch).map_err(|()| ElfError::Malformed("tables"))?;
            for (index, entry) in entries.iter().enumerate() {
                visit(first + index, entry);
            }
        }
        Ok(())
    }
}
