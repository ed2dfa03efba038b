//! The code that a process has mapped: modules by address, loaded when they are needed.
//!
//! Invariant: nothing is loaded while a thread is stopped. An address in a module that has not been
//! loaded yet is reported as wanted, and loaded before the next attempt.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use slackwater_base::{Addr, Range};
use slackwater_memory::{FileId, Kind, Mapping};
use slackwater_procfs::Process;

use crate::error::Unsafe;
use crate::frame::Gadgets;
use crate::module::{Module, Role};
use crate::sys;

/// Largest file that is read for its unwind information. The largest libraries in use (machine
/// learning) are near it; their threads are then refused, not their process.
const LARGEST_FILE: u64 = 1 << 30;
/// Most bytes of a stack that are looked through for code addresses.
const STACK_SCANNED: u64 = 1 << 20;
/// Largest vdso. Real ones have one or two pages.
const LARGEST_VDSO: u64 = 64 << 10;

/// `mov $15,%rax; syscall`: what glibc registers as `sa_restorer`, in every version.
const SIGRETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05];
/// `syscall; ret`.
const SYSCALL_RETURN: [u8; 3] = [0x0f, 0x05, 0xc3];
/// Exported functions that are nothing but a system call without a result to check.
const BARE_CALLS: [&str; 4] = ["getppid", "getuid", "geteuid", "getgid"];

enum Slot {
    /// Not looked at yet.
    New,
    Loaded(Box<Module>),
    /// Has no code we can make sense of.
    Unusable,
}

/// The mappings of a process and the modules in them.
pub(crate) struct Code<'a> {
    process: &'a Process,
    memory: &'a File,
    mappings: Vec<Mapping>,
    /// One for each mapping.
    slots: Vec<Slot>,
    wanted: Mutex<Vec<usize>>,
}

/// Why the C library cannot be used.
pub(crate) const NO_LIBC: &str = "it maps no glibc (static, or another C library)";
const SEVERAL_LIBCS: &str = "it maps several C libraries";
const NO_GADGETS: &str = "its C library lacks the instructions that a call is built from";

impl<'a> Code<'a> {
    /// `memory` must have been opened before `mappings` were read: then both are of one program.
    pub(crate) fn new(process: &'a Process, memory: &'a File, mappings: Vec<Mapping>) -> Self {
        let slots = mappings.iter().map(|_| Slot::New).collect();
        Self { process, memory, mappings, slots, wanted: Mutex::default() }
    }

    /// Takes over newer mappings; modules whose mapping is unchanged stay loaded.
    pub(crate) fn renew(&mut self, mappings: Vec<Mapping>) {
        let old = std::mem::take(&mut self.mappings).into_iter().zip(std::mem::take(&mut self.slots));
        let mut old = old.peekable();
        for mapping in &mappings {
            while old.next_if(|(older, _)| older.range.start < mapping.range.start).is_some() {}
            let kept = old.next_if(|(older, _)| older == mapping);
            self.slots.push(kept.map_or(Slot::New, |(_, slot)| slot));
        }
        self.mappings = mappings;
    }

    pub(crate) fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    pub(crate) fn mapping_at(&self, addr: Addr) -> Option<usize> {
        let after = self.mappings.partition_point(|mapping| mapping.range.start <= addr);
        let index = after.checked_sub(1)?;
        self.mappings[index].range.contains(addr).then_some(index)
    }

    /// The module that holds the code at `addr`. Notes it as wanted when it is not loaded.
    pub(crate) fn module_at(&self, addr: Addr) -> Result<usize, Unsafe> {
        let index = self
            .mapping_at(addr)
            .filter(|index| self.mappings[*index].access.execute)
            .ok_or(Unsafe::NoModule(addr))?;
        match &self.slots[index] {
            Slot::Loaded(_) => Ok(index),
            Slot::Unusable => Err(Unsafe::NoModule(addr)),
            Slot::New => {
                self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(index);
                Err(Unsafe::NoModule(addr))
            }
        }
    }

    /// A module that [`Code::module_at`] has named.
    pub(crate) fn module(&self, index: usize) -> Option<&Module> {
        match self.slots.get(index)? {
            Slot::Loaded(module) => Some(module),
            Slot::New | Slot::Unusable => None,
        }
    }

    /// The file behind a module.
    pub(crate) fn file_of(&self, index: usize) -> Option<FileId> {
        self.mappings.get(index)?.file()
    }

    /// Reads memory of the process.
    pub(crate) fn read(&self, at: Addr, into: &mut [u8]) -> Option<()> {
        sys::read_memory(self.memory, at, into).ok()
    }

    /// Loads what was found wanted since the last time; whether there was anything.
    pub(crate) fn load_wanted(&mut self) -> bool {
        let wanted = std::mem::take(self.wanted.get_mut().unwrap_or_else(PoisonError::into_inner));
        for index in &wanted {
            self.load(*index);
        }
        !wanted.is_empty()
    }

    /// Loads every module that a word of the stack at `sp` points into: all that a walk of it will
    /// need, and perhaps a few more. Saves the thread from being stopped only to learn that.
    pub(crate) fn load_for_stack(&mut self, sp: Addr) {
        let Some(index) = self.mapping_at(sp) else { return };
        let mut words = vec![0; self.mappings[index].range.end.offset_from(sp).min(STACK_SCANNED) as usize];
        if sys::read_memory(self.memory, sp, &mut words).is_err() {
            return;
        }
        for word in words.as_chunks().0 {
            // Notes it as wanted; the word may as well be no code address at all.
            let _ = self.module_at(Addr(u64::from_le_bytes(*word)));
        }
        self.load_wanted();
    }

    fn load(&mut self, index: usize) {
        if matches!(self.slots[index], Slot::New) {
            self.slots[index] = match self.parse(index) {
                Some(module) => Slot::Loaded(Box::new(module)),
                None => Slot::Unusable,
            };
        }
    }

    fn parse(&self, index: usize) -> Option<Module> {
        let mapping = &self.mappings[index];
        let bytes = self.bytes(mapping)?;
        let role = mapping.file_name().map_or(Role::Other, |name| Role::of(&name));
        Module::parse(&bytes, role, mapping.range.start, mapping.offset)
    }

    /// The bytes of the file behind a mapping; of the vdso, its memory.
    fn bytes(&self, mapping: &Mapping) -> Option<Vec<u8>> {
        match &mapping.kind {
            Kind::File { .. } => read_file(&open_mapped(self.process, mapping)?),
            Kind::Special if mapping.range.len() <= LARGEST_VDSO => {
                let mut bytes = vec![0; mapping.range.len() as usize];
                sys::read_memory(self.memory, mapping.range.start, &mut bytes).ok()?;
                Some(bytes)
            }
            _ => None,
        }
    }

    /// The executable mapping of the C library.
    pub(crate) fn libc(&mut self) -> Result<usize, &'static str> {
        let mut found = (0..self.mappings.len()).filter(|index| {
            let mapping = &self.mappings[*index];
            mapping.access.execute
                && mapping
                    .file_name()
                    .is_some_and(|name| name.starts_with("libc.so.6") || name.starts_with("libc-2."))
        });
        let index = found.next().ok_or(NO_LIBC)?;
        if found.next().is_some() {
            return Err(SEVERAL_LIBCS);
        }
        self.load(index);
        self.module(index).map(|_| index).ok_or(NO_LIBC)
    }

    /// Finds the instructions of a chain in the C library, as they are in the target's memory now.
    pub(crate) fn gadgets(&mut self) -> Result<Gadgets, &'static str> {
        let libc = self.libc()?;
        let text = self.mappings[libc].range;
        let module = self.module(libc).ok_or(NO_LIBC)?;
        let bytes = |range: Range| {
            let mut bytes = vec![0; range.len() as usize];
            sys::read_memory(self.memory, range.start, &mut bytes).ok().map(|()| bytes)
        };
        let find = |range: Range, pattern: &[u8]| {
            let found = bytes(range)?.windows(pattern.len()).position(|window| window == pattern)?;
            Some(range.start + found as u64)
        };
        let syscall = BARE_CALLS
            .iter()
            .filter_map(|name| module.exported(name))
            .filter(|range| text.covers(*range))
            .find_map(|range| find(range, &SYSCALL_RETURN));
        let sigreturn = find(text, &SIGRETURN);
        match (sigreturn, syscall) {
            (Some(sigreturn), Some(syscall)) => Ok(Gadgets { sigreturn, syscall }),
            _ => Err(NO_GADGETS),
        }
    }

    /// Where `name` is exported, among the modules whose file name `is_likely` and then all others;
    /// and in which file.
    pub(crate) fn exported(&self, name: &str, is_likely: impl Fn(&str) -> bool) -> Option<(Addr, FileId)> {
        let found = self.exported_among(name, &is_likely);
        let (range, file) = found.or_else(|| self.exported_among(name, |file| !is_likely(file)))?;
        Some((range.start, file))
    }

    /// As [`Code::exported`], only among files whose name `is_meant`.
    pub(crate) fn exported_among(
        &self,
        name: &str,
        is_meant: impl Fn(&str) -> bool,
    ) -> Option<(Range, FileId)> {
        let meant = |mapping: &&Mapping| {
            mapping.access.execute && mapping.file_name().is_some_and(|name| is_meant(&name))
        };
        self.mappings.iter().filter(meant).find_map(|mapping| {
            let bytes = self.bytes(mapping)?;
            Some((crate::module::exported_in(&bytes, mapping, name)?, mapping.file()?))
        })
    }
}

/// Opens the file behind a mapping: by the mapping itself where we may, else by its name in the
/// target's own root, if that is still the same file.
fn open_mapped(process: &Process, mapping: &Mapping) -> Option<File> {
    let range = mapping.range;
    if let Ok(file) = process.open(&format!("map_files/{:x}-{:x}", range.start.get(), range.end.get())) {
        return Some(file);
    }
    let path = mapping.path()?.to_str()?;
    let file = process.open(&format!("root{path}")).ok()?;
    // Device numbers differ between maps and stat on overlay and btrfs; the inode does not.
    (file.metadata().ok()?.ino() == mapping.file()?.inode).then_some(file)
}

fn read_file(file: &File) -> Option<Vec<u8>> {
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        return None;
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(LARGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
