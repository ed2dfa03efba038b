//! One mapped file: its rules and its names.
//!
//! Invariant: the file stays open, so its inode number stays its own. It belongs to the target and may lie;
//! what cannot be read is a file without rules or without names.

use std::fs::File;

use slackwater_remote::ElfFile;

use super::compile::{Frames, Table, compile};
use super::symbols::Symbols;

/// The interpreter's loop, and the parts of it that compilers split off (`.cold`, `.part.0`, ...).
const INTERPRETER: &[u8] = b"_PyEval_EvalFrameDefault";

/// A mapped file.
#[derive(Debug)]
pub(crate) struct Object {
    elf: ElfFile,
    /// The file's lowest address of code, which its table counts from.
    pub(crate) base: u64,
    pub(crate) build_id: Vec<u8>,
    symbols: Option<Symbols>,
}

impl Object {
    pub(crate) fn open(file: File) -> Option<Self> {
        let elf = ElfFile::open(file).ok()?;
        let code = elf.segments.iter().filter(|segment| segment.executable);
        let base = code.map(|segment| segment.address).min()?;
        let build_id = build_id(&elf).unwrap_or_default();
        Some(Self { elf, base, build_id, symbols: None })
    }

    /// What is added to the file's addresses when `offset` of it is mapped at `addr`.
    pub(crate) fn bias(&self, addr: u64, offset: u64) -> Option<u64> {
        self.elf.bias(addr, offset)
    }

    /// The rules of its code; `None` when it says nothing of its frames.
    pub(crate) fn table(&self) -> Option<Table> {
        let section = self.elf.section(".eh_frame")?;
        let eh_frame = self.elf.contents(section).ok()?;
        let address = |name: &str| self.elf.section(name).map_or(0, |section| section.address);
        let frames = Frames {
            eh_frame: &eh_frame,
            eh_frame_at: section.address,
            text_at: address(".text"),
            got_at: address(".got"),
        };
        let mut interpreter = Vec::new();
        self.elf.functions(|name, address, _| {
            let is_part = |rest: &[u8]| rest.is_empty() || rest.starts_with(b".");
            if name.strip_prefix(INTERPRETER).is_some_and(is_part) {
                interpreter.push(address);
            }
        });
        Some(compile(&frames, self.base, |start| interpreter.contains(&start)))
    }

    /// The name of the function that holds the code at an address of the file.
    pub(crate) fn function(&mut self, address: u64) -> Option<String> {
        let elf = &self.elf;
        let symbols = self.symbols.get_or_insert_with(|| Symbols::of(elf));
        symbols.at(address)
    }
}

/// The build id: a note of the linker's (name "GNU", type 3).
fn build_id(elf: &ElfFile) -> Option<Vec<u8>> {
    let note = elf.contents(elf.section(".note.gnu.build-id")?).ok()?;
    let length = u32::from_le_bytes(note.get(4..8)?.try_into().ok()?) as usize;
    note.get(16..16_usize.checked_add(length)?).map(<[u8]>::to_vec)
}
