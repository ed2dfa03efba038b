//! One mapped file: its rules and its names.
//!
//! Invariant: the file stays open, so its inode number stays its own. It belongs to the target and may lie;
//! what cannot be read is a file without rules or without names.

use std::fs::File;

use slackwater_remote::ElfFile;

use super::compile::{Frames, Table, compile};
use super::lines::{self, Lines};
use super::symbols::Symbols;

/// The interpreter's loop, and the parts of it that compilers split off (`.cold`, `.part.0`, ...).
const INTERPRETER: &[u8] = b"_PyEval_EvalFrameDefault";

/// A mapped file.
pub(crate) struct Object {
    elf: ElfFile,
    /// The file's lowest address of code, which its table counts from.
    pub(crate) base: u64,
    pub(crate) build_id: Vec<u8>,
    names: Option<Names>,
}

/// What a file's code is called. Read when the first name is asked for.
struct Names {
    symbols: Symbols,
    lines: Option<Lines>,
}

impl Names {
    fn of(elf: &ElfFile, build_id: &[u8]) -> Self {
        let separate = lines::separate(build_id)
            .and_then(|path| ElfFile::open(File::open(path).ok()?).ok())
            .filter(|separate| self::build_id(separate).is_some_and(|other| other == build_id));
        Self {
            symbols: Symbols::of([elf].into_iter().chain(&separate)),
            lines: Lines::of(elf).or_else(|| Lines::of(separate.as_ref()?)),
        }
    }
}

/// A place in the source. What is not known is empty, or 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Object {
    pub(crate) fn open(file: File) -> Option<Self> {
        let elf = ElfFile::open(file).ok()?;
        let code = elf.segments.iter().filter(|segment| segment.executable);
        let base = code.map(|segment| segment.address).min()?;
        let build_id = build_id(&elf).unwrap_or_default();
        Some(Self { elf, base, build_id, names: None })
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

    /// What the code at an address of the file was made from.
    pub(crate) fn place(&mut self, address: u64) -> Place {
        let names = self.names.get_or_insert_with(|| Names::of(&self.elf, &self.build_id));
        let function = names.symbols.at(address).unwrap_or_default();
        let (file, line) = names.lines.as_ref().and_then(|lines| lines.at(address)).unwrap_or_default();
        Place { function, file, line }
    }
}

/// The build id: a note of the linker's.
fn build_id(elf: &ElfFile) -> Option<Vec<u8>> {
    let notes = elf.contents(elf.section(".note.gnu.build-id")?).ok()?;
    crate::build_id::among(&notes).map(<[u8]>::to_vec)
}
