//! The file that holds the interpreter: an executable, libpython, or whatever embeds it.

use std::path::{Path, PathBuf};

use slackwater_base::{Addr, Range};
use slackwater_memory::{FileId, Kind, Memory, MemoryExt, Symbols};

/// Most bytes of one anonymous mapping that are taken for the image's zero-initialised data. CPython
/// has at most a megabyte; the kernel may have merged more into the mapping.
const MOST_BSS: u64 = 16 << 20;

/// The file that holds the interpreter, as it is mapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PythonImage {
    /// Identity of the file.
    pub file: FileId,
    /// As the target's mount namespace names it.
    pub path: PathBuf,
    /// `_PyRuntime`; `None` in releases before 3.7.
    pub(crate) runtime: Option<Addr>,
    /// Its writable data, zero-initialised data included.
    pub(crate) data: Vec<Range>,
    /// Its code.
    pub(crate) code: Vec<Range>,
}

impl PythonImage {
    /// The image that defines CPython's runtime, if the target maps one.
    pub(crate) fn find<M: Memory + ?Sized, S: Symbols + ?Sized>(memory: &M, symbols: &S) -> Option<Self> {
        let files = candidates(memory);
        let defining = |name: &str| {
            files.iter().find_map(|&(file, path)| {
                let symbol = symbols.symbol(file, name)?;
                // A module that only refers to the symbol has no address for it.
                memory.mapping_at(symbol.start)?;
                Some((file, path, symbol.start))
            })
        };
        let (file, path, runtime) = match defining("_PyRuntime") {
            Some((file, path, runtime)) => (file, path, Some(runtime)),
            None => {
                let (file, path, _) = defining("Py_GetVersion")?;
                (file, path, None)
            }
        };
        Some(Self {
            file,
            path: path.to_owned(),
            runtime,
            data: data(memory, file),
            code: code(memory, file),
        })
    }

    /// Whether `addr` lies in the image's code.
    pub(crate) fn has_code(&self, addr: Addr) -> bool {
        self.code.iter().any(|range| range.contains(addr))
    }
}

/// The name of a Python in the target that is not CPython.
pub(crate) fn other_implementation<M: Memory + ?Sized>(memory: &M) -> Option<&'static str> {
    memory.mappings().iter().find_map(|map| {
        let name = map.file_name()?;
        if name.starts_with("libpypy") || name.starts_with("pypy") {
            Some("PyPy")
        } else if name.starts_with("libpythonvm.") || name.starts_with("graalpy") {
            Some("GraalPy")
        } else {
            None
        }
    })
}

/// Mapped files with code, those named after Python first: most processes need no second look.
fn candidates<M: Memory + ?Sized>(memory: &M) -> Vec<(FileId, &Path)> {
    let mut files: Vec<(FileId, &Path)> = Vec::new();
    for map in memory.mappings().iter().filter(|map| map.access.execute) {
        if let (Some(file), Some(path)) = (map.file(), map.path())
            && !files.iter().any(|&(known, _)| known == file)
        {
            files.push((file, path));
        }
    }
    let is_named =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("python"));
    files.sort_by_key(|&(_, path)| !is_named(path));
    files
}

fn code<M: Memory + ?Sized>(memory: &M, file: FileId) -> Vec<Range> {
    let of_file = memory.mappings().iter().filter(|map| map.file() == Some(file));
    of_file.filter(|map| map.access.execute).map(|map| map.range).collect()
}

fn data<M: Memory + ?Sized>(memory: &M, file: FileId) -> Vec<Range> {
    let mut data = Vec::new();
    let mut end = Addr::default();
    for map in memory.mappings() {
        if map.file() == Some(file) && map.access.write {
            data.push(map.range);
            end = map.range.end;
        } else if map.range.start == end
            && map.is_anonymous_data()
            && matches!(map.kind, Kind::Anonymous { .. } | Kind::Heap)
        {
            data.push(Range::sized(map.range.start, map.range.len().min(MOST_BSS)));
        }
    }
    data
}
