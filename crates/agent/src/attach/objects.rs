//! The objects that the loader has loaded: where they are writable, which slots they have, what they define.
//!
//! Invariant: what the loader itself relies on is believed (the dynamic sections of objects that it has
//! relocated), nothing else; an object that lacks something is passed over. Only for who holds the loader's
//! lock, so that none of them goes away.
#![allow(unsafe_code)] // the tables of loaded objects

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;

use slackwater_inside::global_symbol;

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
const UNDEFINED: u16 = 0;

/// Most loaded segments of an object that are looked at. Linkers make four to six.
const SEGMENTS: usize = 16;

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
pub(crate) struct Object {
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

/// What `dl_iterate_phdr` tells (link.h).
#[repr(C)]
struct Info {
    base: u64,
    name: *const c_char,
    headers: *const Header,
    n_headers: u16,
    n_loads: u64,
    n_unloads: u64,
}

/// `Elf64_Phdr`.
#[repr(C)]
struct Header {
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
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
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

type Callback = unsafe extern "C" fn(*const Info, usize, *mut c_void) -> c_int;
type Iterate = unsafe extern "C" fn(Callback, *mut c_void) -> c_int;

/// How often objects were loaded and unloaded so far: equal numbers, equal objects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) n_loads: u64,
    pub(super) n_unloads: u64,
}

/// How often objects were loaded and unloaded so far.
pub(super) fn changes() -> Option<Changes> {
    let mut found = None;
    iterate(&mut |info| {
        found = Some(Changes { n_loads: info.n_loads, n_unloads: info.n_unloads });
        false
    });
    found
}

/// Shows each object in the order of loading, which is the order in which symbols are looked for: program,
/// preloaded libraries, dependencies; then what was loaded later. `each` says whether to go on.
///
/// The list itself is only read, some objects at a time: its lock is held for an instant, because a child
/// that is forked meanwhile would inherit it taken.
pub(super) fn each(mut each: impl FnMut(&Object) -> bool) {
    let mut n_shown = 0;
    loop {
        let mut found = [Found { base: 0, headers: core::ptr::null(), n_headers: 0 }; AT_ONCE];
        let mut free = found.iter_mut();
        let mut n_passed = 0;
        iterate(&mut |info| {
            n_passed += 1;
            if n_passed <= n_shown {
                return true;
            }
            let Some(place) = free.next() else { return false };
            *place = Found { base: info.base, headers: info.headers, n_headers: info.n_headers };
            true
        });
        for found in found {
            if found.headers.is_null() {
                return;
            }
            n_shown += 1;
            if let Some(object) = Object::new(found)
                && !each(&object)
            {
                return;
            }
        }
    }
}

/// Objects that are noted at one time.
const AT_ONCE: usize = 64;

/// An object of the list.
#[derive(Clone, Copy)]
struct Found {
    base: u64,
    headers: *const Header,
    n_headers: u16,
}

fn iterate(each: &mut dyn FnMut(&Info) -> bool) {
    unsafe extern "C" fn callback(info: *const Info, _: usize, each: *mut c_void) -> c_int {
        // SAFETY: what was passed below, and is not used elsewhere meanwhile.
        let each = unsafe { &mut *each.cast::<&mut dyn FnMut(&Info) -> bool>() };
        // SAFETY: the loader's, for the time of the call; all releases since 2.4 have these fields.
        let goes_on = each(unsafe { &*info });
        c_int::from(!goes_on)
    }
    let mut each = each;
    if let Some(iterate) = global_symbol(c"dl_iterate_phdr") {
        // SAFETY: its type in link.h.
        let iterate = unsafe { core::mem::transmute::<usize, Iterate>(iterate) };
        // SAFETY: `each` outlives the call.
        unsafe { iterate(callback, (&raw mut each).cast()) };
    }
}

/// The address of the first definition of `name` in the order of loading.
pub(crate) fn definition(name: &CStr) -> usize {
    let mut found = 0;
    each(|object| {
        found = object.defines(name).unwrap_or(0);
        found == 0
    });
    found as usize
}

impl Object {
    fn new(info: Found) -> Option<Self> {
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

    fn symbol(&self, idx: u64) -> &'static Symbol {
        // SAFETY: an index that the object's own tables hold; its table of symbols is as long.
        unsafe { &*(self.dynamic.symbols as *const Symbol).add(idx as usize) }
    }

    fn name(&self, symbol: &Symbol) -> &'static CStr {
        // SAFETY: an offset in the object's table of names, which are NUL-terminated. The objects stay as
        // long as the loader's lock is held, and no name is kept for longer.
        unsafe { CStr::from_ptr((self.dynamic.names + u64::from(symbol.name)) as *const c_char) }
    }

    /// Where it defines `name`, by its hash table (`DT_GNU_HASH`, as `do_lookup_x` in elf/dl-lookup.c).
    fn defines(&self, name: &CStr) -> Option<u64> {
        if self.dynamic.hash == 0 {
            return None;
        }
        // SAFETY: the table's words: number of buckets, first symbol, words of the filter, shift.
        let word = |idx: u64| u64::from(unsafe { *(self.dynamic.hash as *const u32).add(idx as usize) });
        let (n_buckets, first, n_filter) = (word(0), word(1), word(2));
        let buckets = 4 + n_filter * 2;
        let hash = name
            .to_bytes()
            .iter()
            .fold(5381_u32, |hash, &byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)));
        let mut idx = word(buckets + u64::from(hash).checked_rem(n_buckets)?);
        if idx < first {
            return None;
        }
        loop {
            let present = word(buckets + n_buckets + idx - first) as u32;
            if present | 1 == hash | 1 {
                let symbol = self.symbol(idx);
                if symbol.section != UNDEFINED && self.name(symbol) == name {
                    return Some(self.base.wrapping_add(symbol.value));
                }
            }
            if present & 1 != 0 {
                return None;
            }
            idx += 1;
        }
    }
}
