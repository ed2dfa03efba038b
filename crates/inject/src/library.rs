//! A library, loaded into a process that runs, and found there again.
//!
//! ```text
//! entry 1   memfd_create                       we write the library to it
//! entry 2   dlopen("/proc/self/./fd/N"), close
//! entry 3   whatever the library exports
//! ```
//!
//! Invariants: the library is never unloaded, and never loaded twice: one that is there already is
//! recognised by its code, byte for byte. Nothing is called in one that differs.

use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};
use slackwater_base::{Addr, PAGE_SIZE};
use slackwater_memory::{Kind, Mapping};

use crate::call::{Options, Outcome};
use crate::error::InjectError;
use crate::files::MemoryFile;
use crate::frame::{Argument, Step};
use crate::loader_locks::LoaderLocks;
use crate::{Target, module, sys};

/// Stack that the loader is given. It was seen to use 10 KiB for a library without dependencies of its own;
/// a main thread, whose stack grows when it is used, has some 70 KiB mapped below a Python server's wait.
const STACK_FOR_LOADER: u64 = 48 << 10;

/// Functions that load a library, in the order in which they are looked for. glibc has the first one in a
/// library of its own until 2.33, and the second one in the C library.
const LOADING: [&str; 2] = ["dlopen", "__libc_dlopen_mode"];

/// The bytes of a library, to be loaded.
#[derive(Debug)]
pub struct Image {
    name: &'static str,
    bytes: Vec<u8>,
    /// Of its code in the file, and its address there.
    text_at: usize,
    text_bytes: usize,
    text_address: u64,
}

/// A library in a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Library {
    /// Addresses in the target minus addresses of the file.
    bias: u64,
}

impl Image {
    /// A library by the name under which it will be seen in the target. `None` for what is none.
    pub fn new(name: &'static str, bytes: Vec<u8>) -> Option<Self> {
        let header = elf::FileHeader64::<LittleEndian>::parse(&*bytes).ok()?;
        let endian = header.endian().ok()?;
        let is_code = |segment: &&elf::ProgramHeader64<LittleEndian>| {
            segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian).contains(elf::PF_X)
        };
        let code = header.program_headers(endian, &*bytes).ok()?.iter().find(is_code)?;
        let (text_at, text_address) = (code.p_offset(endian) as usize, code.p_vaddr(endian));
        let text_bytes = code.data(endian, &*bytes).ok()?.len();
        Some(Self { name, text_at, text_bytes, text_address, bytes })
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(self.text_at..self.text_at + self.text_bytes).unwrap_or_default()
    }

    /// Where the exported symbol `name` is in a target that has the library.
    pub fn symbol(&self, library: Library, name: &str) -> Option<Addr> {
        let found = module::symbol(&self.bytes, name)?;
        Some(Addr(found.start.get().wrapping_add(library.bias)))
    }
}

impl Target<'_> {
    /// The library in the target, if it is there.
    ///
    /// # Errors
    /// When the process cannot be looked at, or has another release of the library.
    pub fn find_library(&self, image: &Image) -> Result<Option<Library>, InjectError> {
        let mappings = self.mappings()?;
        let Some(mapping) = mappings.iter().find(|mapping| is_named(mapping, image.name)) else {
            return Ok(None);
        };
        // A segment is mapped from the page that holds its first byte.
        let inside = image.text_address % PAGE_SIZE;
        let mut present = vec![0; image.text_bytes];
        let is_same = mapping.range.len() >= inside + image.text_bytes as u64
            && sys::read_memory(self.memory(), mapping.range.start + inside, &mut present).is_ok()
            && present == image.text();
        if !is_same {
            return Err(self
                .lacking("it has another release of the library loaded, which stays until it is restarted"));
        }
        let bias = mapping.range.start.get().wrapping_sub(image.text_address - inside);
        Ok(Some(Library { bias }))
    }

    /// Loads the library from `file`, which is filled with it and closed in the target.
    ///
    /// # Errors
    /// As [`Target::call`]; [`InjectError::Unsupported`] when the loader does not want it.
    pub fn load_library(
        &self,
        image: &Image,
        file: &MemoryFile,
        options: &Options,
    ) -> Result<(Library, Outcome), InjectError> {
        let pid = self.pid();
        if self.process().open("root/proc/version").is_err() {
            return Err(self.lacking("it sees no /proc, by which its loader could find what it is given"));
        }
        file.fill_for_good(&image.bytes).map_err(|source| InjectError::Hand { pid, source })?;
        // The loader knows libraries by their names: one that no program would ask for.
        let path = format!("/proc/self/./fd/{}\0", file.descriptor);
        let code = self.code()?;
        let is_likely = |file: &str| file.starts_with("libdl") || file.starts_with("libc");
        let mut functions = LOADING.iter();
        let function = functions.find_map(|name| code.exported_among(name, is_likely));
        let (function, _) = function.ok_or_else(|| self.lacking("its C library has no dlopen"))?;
        let arguments = vec![Argument::Blob(0), Argument::Word(libc::RTLD_NOW as u64)];
        let load = Step::Function { at: function.start, arguments };
        let locks = LoaderLocks::find(self, &code)?;
        let outcome = self.enter_loader(locks, &[load, file.close()], path.as_bytes(), options)?;
        let found = self.find_library(image)?;
        let refused = || {
            self.lacking(if outcome.finished {
                "its loader does not load the library: no room is left for its thread-local storage, or it may \
                 not map code"
            } else {
                "its loader has not come back in time"
            })
        };
        Ok((found.ok_or_else(refused)?, outcome))
    }

    /// Calls a function of the library that may ask the loader: with `arguments`, then the loader's two
    /// locks.
    ///
    /// # Errors
    /// As [`Target::call`].
    pub fn call_library(
        &self,
        function: Addr,
        arguments: &[u64],
        options: &Options,
    ) -> Result<Outcome, InjectError> {
        let locks = LoaderLocks::find(self, &self.code()?)?;
        let words = arguments.iter().copied().chain([locks.load.get(), locks.list.get()]);
        let call = Step::Function { at: function, arguments: words.map(Argument::Word).collect() };
        self.enter_loader(locks, &[call], &[], options)
    }

    fn enter_loader(
        &self,
        locks: LoaderLocks,
        steps: &[Step],
        blob: &[u8],
        options: &Options,
    ) -> Result<Outcome, InjectError> {
        let options = Options { stack_bytes: options.stack_bytes.max(STACK_FOR_LOADER), ..*options };
        locks.await_free(self, &options)?;
        self.run(steps, blob, &[], &options)
    }

    /// Words of the target's memory.
    ///
    /// # Errors
    /// When it is gone, or nothing is mapped there.
    pub fn words<const N: usize>(&self, at: Addr) -> Result<[u64; N], InjectError> {
        let mut words = [[0; 8]; N];
        sys::read_memory(self.memory(), at, words.as_flattened_mut())
            .map_err(|_| InjectError::Gone { pid: self.pid() })?;
        Ok(words.map(u64::from_le_bytes))
    }
}

/// Whether this is the code of a library of that name: out of memory, or out of its file.
fn is_named(mapping: &Mapping, name: &str) -> bool {
    let is_file = |file: std::borrow::Cow<'_, str>| file.starts_with(&format!("lib{name}.so"));
    let in_memory = match &mapping.kind {
        Kind::Shmem { name: shown } => shown.as_os_str() == format!("/memfd:{name}").as_str(),
        _ => false,
    };
    mapping.access.execute && (in_memory || mapping.file_name().is_some_and(is_file))
}
