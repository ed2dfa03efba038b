//! The ELF files that run in the target: where each is loaded, and the symbols in them.
//!
//! Each file is opened once, below the target's root, and only when it is asked about. What cannot
//! be opened or understood has no modules and no symbols: a walker then says what it lacks.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use slackwater_base::{Addr, Range};
use slackwater_memory::{Bindings, FileId, Kind, Mapping, Symbols};

use crate::backing::open_file;
use crate::elf::{ElfFile, Section, Symbol, Tables};
use crate::{ElfError, Live};

/// Most bytes of a file that is handed out whole.
const MOST_FILE_BYTES: u64 = 256 << 20;
/// Most ELF files kept open.
const MOST_FILES: usize = 256;

/// One ELF file that is mapped for execution.
#[derive(Clone, Debug)]
pub struct Module {
    /// Identity of the file.
    pub file: FileId,
    /// Its path, as the target's mount namespace names it.
    pub path: PathBuf,
    /// What is added to the file's addresses; modulo 2^64.
    pub bias: u64,
    /// Its mappings, ascending. Its `.bss` beyond the last page of the file is not among them.
    pub mapped: Vec<Range>,
    elf: Arc<ElfFile>,
}

impl Module {
    /// Its headers, sections and contents.
    pub fn elf(&self) -> &ElfFile {
        &self.elf
    }

    /// Where a section lies in the target; `None` when there is none of this name or it is not
    /// loaded.
    pub fn section(&self, name: &str) -> Option<Range> {
        let section = self.elf.section(name)?;
        (section.address != 0).then(|| self.place(section.address, section.bytes))
    }

    /// The section headers and contents of one section, as the file holds them.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn contents(&self, name: &str) -> Result<Option<(&Section, Vec<u8>)>, ElfError> {
        self.elf
            .section(name)
            .map(|section| self.elf.contents(section).map(|bytes| (section, bytes)))
            .transpose()
    }

    /// Where its segments lie in the target, with those parts that no file holds (`.bss`). Whether
    /// each may be written.
    pub fn segments(&self) -> impl Iterator<Item = (Range, bool)> {
        self.elf
            .segments
            .iter()
            .map(|segment| (self.place(segment.address, segment.memory_bytes), segment.writable))
    }

    /// Where its first dynamic or static symbol `name` lies in the target.
    pub fn symbol(&self, name: &str) -> Option<Range> {
        self.symbol_among(Tables::Both, name)
    }

    fn symbol_among(&self, tables: Tables, name: &str) -> Option<Range> {
        let mut found: Option<Symbol> = None;
        self.elf.symbols(tables, |candidate, symbol| {
            if candidate != name.as_bytes() {
                return ControlFlow::Continue(());
            }
            // The default version, or if there is none the first old one.
            if found.is_none() || !symbol.is_old_version {
                found = Some(symbol);
            }
            if symbol.is_old_version { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        found.map(|symbol| self.place(symbol.address, symbol.bytes))
    }

    fn place(&self, address: u64, bytes: u64) -> Range {
        Range::sized(Addr(address.wrapping_add(self.bias)), bytes)
    }
}

/// The ELF files of one process that were opened so far; `None` for those that could not be.
#[derive(Default, Debug)]
pub(crate) struct ElfFiles {
    open: Mutex<HashMap<FileId, Option<Arc<ElfFile>>>>,
    found: Mutex<HashMap<(FileId, String), Option<Range>>>,
}

impl ElfFiles {
    fn open(&self, live: &Live, mapping: &Mapping, file: FileId) -> Option<Arc<ElfFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(elf) = open.get(&file) {
            return elf.clone();
        }
        if open.len() >= MOST_FILES {
            open.clear();
        }
        let elf = open_file(live.process(), mapping).ok().and_then(|file| ElfFile::open(file).ok());
        let elf = elf.map(Arc::new);
        open.insert(file, elf.clone());
        elf
    }

    /// Forgets where symbols were: the mappings have changed. The files stay what they were.
    pub(crate) fn forget_places(&mut self) {
        self.found.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Live {
    /// The ELF files that are mapped for execution, by address of their first executable mapping.
    /// Those that cannot be opened are left out.
    pub fn modules(&self) -> Vec<Module> {
        let mut modules: Vec<Module> = Vec::new();
        for mapping in executable_files(self) {
            if !modules.iter().any(|module| Some(module.file) == mapping.file()) {
                modules.extend(self.module_of(mapping));
            }
        }
        modules
    }

    /// The ELF file of this identity, where it is mapped for execution first.
    pub fn module(&self, file: FileId) -> Option<Module> {
        executable_files(self)
            .filter(|mapping| mapping.file() == Some(file))
            .find_map(|mapping| self.module_of(mapping))
    }

    /// The bytes of a mapped file, at most 256 MiB.
    ///
    /// # Errors
    /// [`ElfError::Malformed`] for a larger one; [`ElfError::Read`] when no mapping of it lets us
    /// open it.
    pub fn file_bytes(&self, file: FileId) -> Result<Vec<u8>, ElfError> {
        let mapping =
            self.mappings_of(file).next().ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let opened: File = open_file(self.process(), mapping).map_err(std::io::Error::from)?;
        if opened.metadata()?.len() > MOST_FILE_BYTES {
            return Err(ElfError::Malformed("sizes"));
        }
        let mut bytes = Vec::new();
        opened.take(MOST_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn mappings_of(&self, file: FileId) -> impl Iterator<Item = &Mapping> {
        use slackwater_memory::Memory as _;
        self.mappings().iter().filter(move |mapping| mapping.file() == Some(file))
    }

    fn module_of(&self, mapping: &Mapping) -> Option<Module> {
        let Kind::File { path, id, .. } = &mapping.kind else { return None };
        let elf = self.elf_files().open(self, mapping, *id)?;
        let bias = elf.bias(mapping.range.start.get(), mapping.offset)?;
        let mapped = self.mappings_of(*id).map(|mapping| mapping.range).collect();
        Some(Module { file: *id, path: path.clone(), bias, mapped, elf })
    }
}

fn executable_files(live: &Live) -> impl Iterator<Item = &Mapping> {
    use slackwater_memory::Memory as _;
    live.mappings().iter().filter(|mapping| mapping.access.execute && mapping.file().is_some())
}

impl Symbols for Live {
    fn symbol(&self, file: FileId, name: &str) -> Option<Range> {
        let key = (file, name.to_owned());
        let cache = &self.elf_files().found;
        if let Some(found) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *found;
        }
        let found = self.module(file).and_then(|module| module.symbol(name));
        cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found);
        found
    }
}

impl Bindings for Live {
    fn offered(&self, file: FileId, name: &str) -> Option<Range> {
        self.module(file)?.symbol_among(Tables::Dynamic, name)
    }

    fn slots(&self, file: FileId, names: &[&str]) -> Vec<(usize, Addr)> {
        let Some(module) = self.module(file) else { return Vec::new() };
        let place = |(name, address)| (name, module.place(address, 8).start);
        module.elf.slots(names).into_iter().map(place).collect()
    }
}
