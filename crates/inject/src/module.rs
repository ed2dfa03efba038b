//! A mapped ELF file, as far as unwinding needs it: where its code lies, its call frame
//! information, and for the C library the exported functions.
//!
//! Invariant: pure over the file's bytes, which may be hostile: every offset is checked, and what
//! does not parse is a module without unwind information.

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Object, ObjectSymbol, SymbolKind, elf};
use slackwater_base::{Addr, Range};
use slackwater_memory::Mapping;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Header = elf::FileHeader64<object::LittleEndian>;

/// Whose code it is, as far as locks are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The C library and, before glibc 2.34, its parts in files of their own.
    Libc,
    /// The dynamic loader.
    Loader,
    /// Anything else.
    Other,
}

impl Role {
    /// By the file's name, which is part of the platform's ABI (`libc.so.6`, `ld-linux-x86-64.so.2`)
    /// or glibc's own scheme (`libc-2.31.so`).
    pub(crate) fn of(file_name: &str) -> Self {
        let is = |stem: &str| {
            file_name.starts_with(&format!("{stem}.so")) || file_name.starts_with(&format!("{stem}-2."))
        };
        if is("libc") || is("libpthread") || is("librt") || is("libdl") {
            Self::Libc
        } else if file_name.starts_with("ld-linux")
            || file_name.starts_with("ld-2.")
            || file_name.starts_with("ld.so")
        {
            Self::Loader
        } else {
            Self::Other
        }
    }
}

/// An exported function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    /// Its bytes, as addresses of the file.
    pub(crate) range: Range,
    pub(crate) name: String,
}

/// A mapped ELF file.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) role: Role,
    /// Addresses in the target minus addresses of the file.
    pub(crate) bias: u64,
    /// Where the program starts, as an address of the file. 0 for libraries.
    entry: u64,
    /// Exported functions by start; only of the C library.
    functions: Vec<Function>,
    /// Whether the program's calls of `malloc` may end here.
    pub(crate) is_allocator: bool,
    header_at: u64,
    header: Vec<u8>,
    frames_at: u64,
    frames: Vec<u8>,
}

impl Module {
    /// The module whose byte at file offset `mapped_offset` is mapped at `mapped_at`, in an
    /// executable segment. `None` when the bytes are not a 64-bit x86 ELF file with such a segment.
    pub(crate) fn parse(bytes: &[u8], role: Role, mapped_at: Addr, mapped_offset: u64) -> Option<Self> {
        let header = Header::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        if header.e_machine(endian) != elf::EM_X86_64 {
            return None;
        }
        let segments = header.program_headers(endian, bytes).ok()?;
        let address_of = |offset: u64| {
            let segment = segments.iter().filter(|segment| {
                segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian).contains(elf::PF_X)
            });
            // A mapping begins at the page that holds the segment's first byte, or inside it.
            segment
                .map(|segment| (segment.p_offset(endian), segment.p_vaddr(endian), segment.p_filesz(endian)))
                .find(|(start, _, len)| (start & !0xfff..start.saturating_add(*len)).contains(&offset))
                .map(|(start, vaddr, _)| vaddr.wrapping_add(offset).wrapping_sub(start))
        };
        let bias = mapped_at.get().wrapping_sub(address_of(mapped_offset)?);

        let mut module = Self {
            role,
            bias,
            entry: header.e_entry(endian),
            functions: Vec::new(),
            is_allocator: role == Role::Other && symbol(bytes, "malloc").is_some(),
            header_at: 0,
            header: Vec::new(),
            frames_at: 0,
            frames: Vec::new(),
        };
        // From an address to the end of its segment, in the file.
        let rest_of_segment = |address: u64| {
            segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
                let inside = address.checked_sub(segment.p_vaddr(endian))?;
                segment.data(endian, bytes).ok()?.get(usize::try_from(inside).ok()?..)
            })
        };
        if let Some(segment) = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_GNU_EH_FRAME)
        {
            module.header_at = segment.p_vaddr(endian);
            module.header = segment.data(endian, bytes).unwrap_or_default().to_vec();
            let bases = module.bases();
            let parsed = EhFrameHdr::new(&module.header, LittleEndian).parse(&bases, 8).ok();
            if let Some(gimli::Pointer::Direct(at)) = parsed.map(|header| header.eh_frame_ptr()) {
                module.frames_at = at;
                module.frames = rest_of_segment(at).unwrap_or_default().to_vec();
            }
        }
        if role == Role::Libc {
            module.functions = functions(bytes);
        }
        Some(module)
    }

    fn bases(&self) -> BaseAddresses {
        BaseAddresses::default().set_eh_frame_hdr(self.header_at).set_eh_frame(self.frames_at)
    }

    /// Runs `with` on the call frame information that governs the code at `lookup`: the entry, and
    /// the section and bases it is relative to. `None` when none covers the address.
    pub(crate) fn with_frame_info<T>(
        &self,
        lookup: Addr,
        with: impl FnOnce(&gimli::FrameDescriptionEntry<Slice<'_>>, &EhFrame<Slice<'_>>, &BaseAddresses, u64) -> T,
    ) -> Option<T> {
        let address = self.file_address(lookup);
        let bases = self.bases();
        let header = EhFrameHdr::new(&self.header, LittleEndian).parse(&bases, 8).ok()?;
        let frames = EhFrame::new(&self.frames, LittleEndian);
        let table = header.table()?;
        // Checks that the entry contains the address; the table alone only says where to look.
        let entry = table.fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset).ok()?;
        Some(with(&entry, &frames, &bases, address))
    }

    /// The address in the file of an address in the target.
    pub(crate) const fn file_address(&self, addr: Addr) -> u64 {
        addr.get().wrapping_sub(self.bias)
    }

    /// Whether the code at `lookup` is in the function that starts the program: the one whose frame
    /// information covers the entry point.
    pub(crate) fn is_start(&self, lookup: Addr) -> bool {
        let entry = Addr(self.entry.wrapping_add(self.bias));
        self.entry != 0
            && self
                .with_frame_info(lookup, |info, _, _, _| info.contains(self.file_address(entry)))
                .unwrap_or(false)
    }

    /// The names under which the function at `lookup` is exported.
    pub(crate) fn exported_at(&self, lookup: Addr) -> impl Iterator<Item = &str> {
        let address = Addr(self.file_address(lookup));
        let after = self.functions.partition_point(|function| function.range.start <= address);
        let last = self.functions[..after].last().map(|function| function.range.start);
        self.functions[..after]
            .iter()
            .rev()
            .take_while(move |function| Some(function.range.start) == last)
            .filter(move |function| function.range.contains(address))
            .map(|function| function.name.as_str())
    }

    /// Where in the target the exported function `name` lies.
    pub(crate) fn exported(&self, name: &str) -> Option<Range> {
        let function = self.functions.iter().find(|function| function.name == name)?;
        let start = Addr(function.range.start.get().wrapping_add(self.bias));
        Some(Range::sized(start, function.range.len()))
    }
}

/// Where the symbol `name` of the file behind `mapping`, an executable one, lies in the target.
pub(crate) fn exported_in(bytes: &[u8], mapping: &Mapping, name: &str) -> Option<Range> {
    let found = symbol(bytes, name)?;
    let module = Module::parse(bytes, Role::Loader, mapping.range.start, mapping.offset)?;
    Some(Range::sized(Addr(found.start.get().wrapping_add(module.bias)), found.len()))
}

/// The exported symbol `name`, as addresses of the file.
pub(crate) fn symbol(bytes: &[u8], name: &str) -> Option<Range> {
    let file = object::File::parse(bytes).ok()?;
    let found = file.dynamic_symbols().find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))?;
    Some(Range::sized(Addr(found.address()), found.size()))
}

fn functions(bytes: &[u8]) -> Vec<Function> {
    let Ok(file) = object::File::parse(bytes) else { return Vec::new() };
    let mut functions: Vec<_> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0 && symbol.is_definition())
        .filter_map(|symbol| {
            let range = Range::sized(Addr(symbol.address()), symbol.size());
            Some(Function { range, name: symbol.name().ok()?.to_owned() })
        })
        .collect();
    functions.sort_by_key(|function| function.range.start);
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_c_library_by_its_names() {
        let check = |name: &str, role: Role| assert_eq!(Role::of(name), role, "{name}");
        check("libc.so.6", Role::Libc);
        check("libc-2.31.so", Role::Libc);
        check("libpthread-2.28.so", Role::Libc);
        check("ld-linux-x86-64.so.2", Role::Loader);
        check("ld-2.17.so", Role::Loader);
        check("libcrypto.so.3", Role::Other);
        check("libc++.so.1", Role::Other);
        check("python3.11", Role::Other);
    }

    #[test]
    fn hostile_bytes_are_no_module() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let parse = |bytes: &[u8]| Module::parse(bytes, Role::Libc, Addr(0x1000), 0x1000);
        for len in (0..own.len().min(70_000)).step_by(997) {
            let _ = parse(&own[..len]);
        }
        for at in 0..2048 {
            let mut bytes = own[..own.len().min(1 << 20)].to_vec();
            bytes[at] ^= 0xff;
            if let Some(module) = parse(&bytes) {
                let _ = module.with_frame_info(Addr(0x2000), |_, _, _, _| ());
            }
        }
    }
}
