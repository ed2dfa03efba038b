//! The Python of a process, in one answer.

use slackwater_base::{Gap, Partial};
use slackwater_layout::cpython::{ObmallocHome, PymallocState, PythonVersion, RuntimeLayout};
use slackwater_memory::{Memory, MemoryError, Symbols};

use crate::allocators::{self, Backend, Domains};
use crate::image::{PythonImage, other_implementation};
use crate::{PythonError, interpreters, obmalloc, version};

/// How an interpreter was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Build {
    /// `--with-pydebug`: slow, and every block padded.
    pub debug: bool,
    /// `--disable-gil`: objects live in mimalloc, not in pymalloc.
    pub free_threaded: bool,
}

/// The Python of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interpreter {
    /// The release.
    pub version: PythonVersion,
    /// The file that holds it: an executable, libpython, or whatever embeds it.
    pub image: PythonImage,
    /// How it was built.
    pub build: Build,
    /// What serves its allocator domains; `None` when their table was not found, which is a gap.
    pub domains: Option<Domains>,
    /// Interpreters in the process, the main one included.
    pub n_interpreters: usize,
    /// Every pymalloc with arenas, the main interpreter's first. Interpreters that share the main
    /// one's have none of their own.
    pub pymalloc: Vec<PymallocState>,
}

/// Finds the Python of a process: `None` when it maps none, or one that was never initialised.
///
/// # Errors
/// When there is one that is not supported, or it cannot be read.
pub fn find<M: Memory + ?Sized, S: Symbols + ?Sized>(
    memory: &M,
    symbols: &S,
) -> Result<Option<Partial<Interpreter>>, PythonError> {
    let Some(image) = PythonImage::find(memory, symbols) else {
        return match other_implementation(memory) {
            Some(name) => Err(PythonError::OtherImplementation { name }),
            None => Ok(None),
        };
    };
    let mut gaps = Vec::new();
    let Some(version) = determine_version(memory, symbols, &image, &mut gaps)? else {
        return Ok(None);
    };
    let runtime = image.runtime.ok_or(PythonError::FindRuntime { version })?;
    let unreadable = |source: MemoryError| PythonError::ReadRuntime { addr: runtime, source };

    let offsets = interpreters::read_offsets(memory, runtime, version)?;
    let layout = offsets.as_ref().map(RuntimeLayout::from_offsets).or_else(|| RuntimeLayout::of(version));
    let layout = layout.ok_or(PythonError::DecodeOffsets { addr: runtime, version })?;
    let interpreters = interpreters::list(memory, runtime, &layout)?.unpack(&mut gaps);
    if interpreters.is_empty() {
        return Ok(None);
    }

    let free_threaded = offsets.is_some_and(|offsets| offsets.free_threaded);
    let debug = symbols.symbol(image.file, "_Py_NegativeRefcount").is_some();
    let mut pymalloc = Vec::new();
    if !free_threaded
        && let Some(main) = obmalloc::find_static(memory, &image.data, version).map_err(unreadable)?
    {
        pymalloc.push(main);
        let others = obmalloc::find_others(memory, &main, &interpreters, &layout, version, &mut gaps);
        pymalloc.extend(others.map_err(unreadable)?);
    }
    let domains = allocators::find(memory, &image, version, !pymalloc.is_empty()).map_err(unreadable)?;
    note_missing(domains.as_ref(), &pymalloc, free_threaded, layout.home, &mut gaps);
    let build = Build { debug, free_threaded };
    let n_interpreters = interpreters.len();
    let value = Interpreter { version, image, build, domains, n_interpreters, pymalloc };
    Ok(Some(Partial { value, gaps }))
}

/// The release, when it is a known one. `None` when the interpreter has not been started.
fn determine_version<M: Memory + ?Sized, S: Symbols + ?Sized>(
    memory: &M,
    symbols: &S,
    image: &PythonImage,
    gaps: &mut Vec<Gap>,
) -> Result<Option<PythonVersion>, PythonError> {
    let addr = image.runtime.unwrap_or_default();
    let found = version::find(memory, symbols, image);
    let found = found.map_err(|source| PythonError::ReadRuntime { addr, source })?;
    let Some(version) = found else {
        if image.runtime.is_some_and(|runtime| interpreters::is_unstarted(memory, runtime)) {
            return Ok(None);
        }
        return Err(PythonError::FindVersion { image: image.path.display().to_string() });
    };
    if !version.is_known() {
        return Err(PythonError::UnknownRelease { version, nearest: version.nearest_known() });
    }
    let name = image.path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(minor) = version::minor_in_name(&name)
        && minor != version.minor
    {
        gaps.push(Gap::new("python's release", format!("{name} says that it is {version}")));
    }
    Ok(Some(version))
}

fn note_missing(
    domains: Option<&Domains>,
    pymalloc: &[PymallocState],
    free_threaded: bool,
    home: ObmallocHome,
    gaps: &mut Vec<Gap>,
) {
    let Some(domains) = domains else {
        gaps.push(Gap::new("python's allocator", "the table of its functions was not found"));
        return;
    };
    let expects_arenas = domains.obj.backend == Backend::Pymalloc || domains.mem.backend == Backend::Pymalloc;
    if expects_arenas && pymalloc.is_empty() && !free_threaded {
        let cause = match home {
            ObmallocHome::Statics => "its arenas were not found in the interpreter's static data",
            ObmallocHome::Embedded | ObmallocHome::Pointed => "its arenas were not found",
        };
        gaps.push(Gap::new("python objects", cause));
    }
}
