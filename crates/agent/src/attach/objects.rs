//! The objects that the loader has loaded: where they are writable, and which slots they have.
//!
//! Invariant: what the loader itself relies on is believed (the dynamic sections of objects that it has
//! relocated), nothing else; an object that lacks something is passed over. Only for who holds the loader's
//! lock, so that none of them goes away.
#![allow(unsafe_code)] // the tables of loaded objects

use core::ffi::{CStr, c_char};
use core::ops::Range;

use super::list::Found;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_PLTREL: i64 = 20;
const DT_JMPREL: i64 = 23;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_RELACOUNT: i64 = 0x6fff_fff9;

/// A relocation that fills a word of eight bytes with a symbol's address.
const R_64: u32 = 1;
const R_GLOB_DAT: u32 = 6;
const R_JUMP_SLOT: u32 = 7;

/// `SHN_UNDEF`: a symbol that another object defines.
pub(super) const UNDEFINED: u16 = 0;

/// Most loaded segments of an object that are looked at. Linkers make four to six.
pub(super) const SEGMENTS: usize = 16;

/// A word that holds a function's address.
pub(super) struct Slot {
    pub(super) at: u64,
    pub(super) name: &'static CStr,
    /// It may hold an address inside its own object until its first use, and no other of there.
    pub(super) is_lazy: bool,
    /// It is the loader's to change, not the program's.
    pub(super) is_function: bool,
}

/// A loaded object.
pub(super) struct Object {
    base: u64,
    writable: [Range<u64>; SEGMENTS],
    executable: [Range<u64>; SEGMENTS],
    /// Pages that the loader has made read-only after it relocated them.
    read_only: Range<u64>,
    dynamic: Dynamic,
}

#[derive(Default)]
struct Dynamic {
    at: u64,
    symbols: u64,
    names: u64,
    hash: u64,
    /// Relocations and how many.
    eager: (u64, u64),
    lazy: (u64, u64),
}

/// `Elf64_Phdr`.
#[repr(C)]
pub(super) struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    bytes: u64,
    alignment: u64,
}

/// `Elf64_Sym`.
#[repr(C)]
pub(super) struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    pub(super) section: u16,
    value: u64,
    bytes: u64,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: u64,
}

impl Object {
    pub(super) fn new(info: Found) -> Option<Self> {
        if info.headers.is_null() {
            return None;
        }
        const NONE: Range<u64> = 0..0;
        let mut object = Self {
            base: info.base,
            writable: [NONE; SEGMENTS],
            executable: [NONE; SEGMENTS],
            read_only: NONE,
            dynamic: Dynamic::default(),
        };
        let mut places = object.writable.iter_mut().zip(&mut object.executable);
        // SAFETY: the loader's table of this object.
        let headers = unsafe { core::slice::from_raw_parts(info.headers, usize::from(info.n_headers)) };
        for header in headers {
            let start = info.base.wrapping_add(header.address);
            let range = start..start.wrapping_add(header.bytes);
            match header.kind {
                PT_LOAD => {
                    let (writable, executable) = places.next()?;
                    if header.flags & PF_W != 0 {
                        *writable = range;
                    } else if header.flags & PF_X != 0 {
                        *executable = range;
                    }
                }
                PT_GNU_RELRO => object.read_only = range.start & !0xfff..range.end & !0xfff,
                PT_DYNAMIC => object.dynamic.at = start,
                _ => {}
            }
        }
        // The kernel's own object is not writable, and its tables are not relocated.
        let is_writable = object.writable.iter().any(|range| !range.is_empty());
        (is_writable && object.dynamic.at != 0).then_some(())?;
        object.read_dynamic();
        (object.dynamic.symbols != 0 && object.dynamic.names != 0).then_some(object)
    }

    fn read_dynamic(&mut self) {
        let mut at = self.dynamic.at as *const [i64; 2];
        let (mut eager_bytes, mut lazy_bytes, mut n_relative, mut has_addends) = (0, 0, 0, true);
        loop {
            // SAFETY: the dynamic section of a loaded object; it ends with a tag 0.
            let [tag, value] = unsafe { *at };
            let value = value as u64;
            // glibc turns offsets into addresses when it loads an object.
            let address = if value < self.base { self.base.wrapping_add(value) } else { value };
            match tag {
                0 => break,
                DT_PLTRELSZ => lazy_bytes = value,
                DT_STRTAB => self.dynamic.names = address,
                DT_SYMTAB => self.dynamic.symbols = address,
                DT_RELA => self.dynamic.eager.0 = address,
                DT_RELASZ => eager_bytes = value,
                DT_PLTREL => has_addends = value == DT_RELA as u64,
                DT_JMPREL => self.dynamic.lazy.0 = address,
                DT_GNU_HASH => self.dynamic.hash = address,
                DT_RELACOUNT => n_relative = value,
                _ => {}
            }
            // SAFETY: the end was not reached.
            at = unsafe { at.add(1) };
        }
        const BYTES: u64 = size_of::<Relocation>() as u64;
        let (first, n) = (self.dynamic.eager.0, eager_bytes / BYTES);
        // Those that refer to no symbol come first, and are counted.
        let n_relative = n_relative.min(n);
        self.dynamic.eager = if first == 0 { (0, 0) } else { (first + n_relative * BYTES, n - n_relative) };
        self.dynamic.lazy.1 = if self.dynamic.lazy.0 != 0 && has_addends { lazy_bytes / BYTES } else { 0 };
    }

    /// What tells it from others that are loaded at the same time.
    pub(super) const fn identity(&self) -> u64 {
        self.dynamic.at
    }

    /// Whether this address is in its code or data.
    pub(super) fn holds(&self, addr: u64) -> bool {
        self.writable.iter().chain(&self.executable).any(|range| range.contains(&addr))
    }

    /// Whether this address is in its code.
    pub(super) fn runs(&self, addr: u64) -> bool {
        self.executable.iter().any(|range| range.contains(&addr))
    }

    /// Its code.
    pub(super) const fn code(&self) -> &[Range<u64>; SEGMENTS] {
        &self.executable
    }

    /// Its variables that stay writable, in the largest piece of them.
    pub(super) fn data(&self) -> Option<Range<u64>> {
        let largest = self.writable.iter().max_by_key(|range| range.end - range.start)?;
        // The linker puts those pages first.
        let start = if self.read_only.start < largest.end { self.read_only.end } else { 0 };
        let data = largest.start.max(start)..largest.end;
        (!data.is_empty()).then_some(data)
    }

    /// Pages that are read-only by now.
    pub(super) const fn read_only(&self) -> &Range<u64> {
        &self.read_only
    }

    /// Every word of it that the loader fills with the address of a symbol defined elsewhere.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let of = |(first, n): (u64, u64)| {
            // SAFETY: the object's table of relocations, as its dynamic section has it.
            unsafe { core::slice::from_raw_parts(first.max(8) as *const Relocation, n as usize) }
        };
        of(self.dynamic.eager).iter().chain(of(self.dynamic.lazy)).filter_map(|relocation| {
            let kind = relocation.info as u32;
            let is_lazy = kind == R_JUMP_SLOT;
            let is_one = is_lazy || kind == R_GLOB_DAT || kind == R_64 && relocation.addend == 0;
            let at = self.base.wrapping_add(relocation.offset);
            let is_data = self.writable.iter().any(|range| range.contains(&at)) && at.is_multiple_of(8);
            let symbol = (is_one && is_data).then(|| self.symbol(relocation.info >> 32))?;
            Some(Slot {
                at,
                name: self.name(symbol),
                is_lazy: is_lazy && symbol.section == UNDEFINED,
                is_function: kind != R_64,
            })
        })
    }

    /// Its table of symbols by hash, if it has one.
    pub(super) fn hash_table(&self) -> Option<u64> {
        (self.dynamic.hash != 0).then_some(self.dynamic.hash)
    }

    /// A symbol, by an index of one of its tables.
    pub(super) fn symbol(&self, idx: u64) -> &'static Symbol {
        let symbol = (self.dynamic.symbols as *const Symbol).wrapping_add(idx as usize);
        // SAFETY: the object's own tables hold the index; its table of symbols is as long.
        unsafe { &*symbol }
    }

    /// Where a symbol that it defines is.
    pub(super) const fn address(&self, symbol: &Symbol) -> u64 {
        self.base.wrapping_add(symbol.value)
    }

    pub(super) fn name(&self, symbol: &Symbol) -> &'static CStr {
        // SAFETY: an offset in the object's table of names, which are NUL-terminated. The objects stay as
        // long as the loader's lock is held, and no name is kept for longer.
        unsafe { CStr::from_ptr((self.dynamic.names + u64::from(symbol.name)) as *const c_char) }
    }
}
