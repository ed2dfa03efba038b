//! The heaps of a process: which walkers apply, and what it means when one cannot.
//!
//! Invariant: anonymous memory is called `anon_other` only when every allocator that could own it
//! was walked. As long as one was not, what no walker claims is unexplained, and a gap names it.

use slackwater_base::{Class, Gap, Tid};
use slackwater_heap::glibc::GlibcError;
use slackwater_heap::jemalloc::{self, Snapshot};
use slackwater_heap::pymalloc::PymallocError;
use slackwater_heap::{Allocator, Heap};
use slackwater_memory::{Memory, MemoryError, Symbols};
use slackwater_python::{Backend, Interpreter, PythonError};

use crate::{Malloc, MallocKind, ObjectAllocator, PythonReport};

/// The heaps of a process.
pub(crate) struct Heaps {
    pub(crate) heaps: Vec<Heap>,
    pub(crate) python: Option<PythonReport>,
    /// What our library says of itself, where it serves.
    pub(crate) block: Option<Snapshot>,
    /// What anonymous memory is that no heap claims.
    pub(crate) unclaimed: Class,
}

/// Walks every heap that can be walked.
///
/// # Errors
/// When memory cannot be read at all.
pub(crate) fn walk(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    tids: &[Tid],
    malloc: &mut Malloc,
    gaps: &mut Vec<Gap>,
) -> Result<Heaps, MemoryError> {
    let mut heaps = Vec::new();
    let mut walked_malloc = walk_malloc(memory, tids, malloc, &mut heaps, gaps)?;
    let mut block = None;
    if malloc.kind == MallocKind::Slackwater {
        let (found, heap) = super::slackwater::look(memory, symbols, gaps)?;
        walked_malloc &= heap.is_some();
        heaps.extend(heap);
        block = found;
    }
    let (python, walked_python) = walk_python(memory, symbols, &mut heaps, gaps)?;
    let unclaimed = if walked_malloc && walked_python { Class::AnonOther } else { Class::Unexplained };
    Ok(Heaps { heaps, python, block, unclaimed })
}

/// Walks what serves `malloc`: whether all of its memory is accounted for.
fn walk_malloc(
    memory: &dyn Memory,
    tids: &[Tid],
    malloc: &mut Malloc,
    heaps: &mut Vec<Heap>,
    gaps: &mut Vec<Gap>,
) -> Result<bool, MemoryError> {
    match slackwater_heap::glibc::walk(memory, tids) {
        Ok(Some(walked)) => {
            let heap = walked.unpack(gaps);
            if let Allocator::Glibc { version, .. } = &heap.allocator
                && matches!(malloc.kind, MallocKind::Glibc | MallocKind::Unknown)
            {
                malloc.kind = MallocKind::Glibc;
                malloc.version = Some(*version);
            }
            heaps.push(heap);
        }
        Ok(None) => {}
        Err(GlibcError::Memory(error @ (MemoryError::Denied | MemoryError::Gone))) => return Err(error),
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            gaps.push(Gap::new("glibc's heap", format!("{}{hint}", with_source(&error))));
            return Ok(false);
        }
    }
    match malloc.kind {
        MallocKind::Glibc => Ok(!heaps.is_empty()),
        // glibc's own heap beside it, however small, is whole; its own comes next.
        MallocKind::Slackwater => Ok(true),
        MallocKind::Unknown => {
            gaps.push(Gap::new("the heap", "what serves malloc here was not recognised"));
            Ok(false)
        }
        kind => {
            let closer = match kind {
                MallocKind::Jemalloc => "; `slackwater verify --enter` asks jemalloc itself",
                _ => "",
            };
            let cause = format!("its books cannot be read from outside{closer}");
            gaps.push(Gap::new(format!("the {kind} heap"), cause));
            Ok(false)
        }
    }
}

/// Walks Python's own arenas: whether all of Python's own memory is accounted for.
fn walk_python(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    heaps: &mut Vec<Heap>,
    gaps: &mut Vec<Gap>,
) -> Result<(Option<PythonReport>, bool), MemoryError> {
    let interpreter = match slackwater_python::find(memory, symbols) {
        Ok(Some(found)) => found.unpack(gaps),
        Ok(None) => return Ok((None, true)),
        Err(PythonError::ReadRuntime {
            source: error @ (MemoryError::Denied | MemoryError::Gone), ..
        }) => {
            return Err(error);
        }
        Err(error) => {
            gaps.push(Gap::new("python's heap", format!("{} ({})", with_source(&error), error.hint())));
            return Ok((None, false));
        }
    };
    let objects = object_allocator(memory, symbols, &interpreter);
    let mut whole = match objects {
        ObjectAllocator::Malloc | ObjectAllocator::Slackwater => true,
        // Its arenas were not found: the finder has said so.
        ObjectAllocator::Pymalloc => !interpreter.pymalloc.is_empty(),
        ObjectAllocator::Mimalloc | ObjectAllocator::Unknown => false,
    };
    if objects == ObjectAllocator::Mimalloc {
        gaps.push(Gap::new("python's mimalloc heap", "its books cannot be read from outside"));
    }
    for state in &interpreter.pymalloc {
        match slackwater_heap::pymalloc::walk(memory, state) {
            Ok(walked) => heaps.push(walked.unpack(gaps)),
            Err(
                PymallocError::ReadState { source: error, .. }
                | PymallocError::ReadArena { source: error, .. },
            ) if matches!(error, MemoryError::Denied | MemoryError::Gone) => return Err(error),
            Err(error) => {
                gaps.push(Gap::new("python's arenas", with_source(&error)));
                whole = false;
            }
        }
    }
    Ok((Some(report(&interpreter, objects)), whole))
}

/// What serves Python's small objects; `None` where no Python runs, or none that we know.
pub(crate) fn objects(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    gaps: &mut Vec<Gap>,
) -> Option<ObjectAllocator> {
    match slackwater_python::find(memory, symbols) {
        Ok(found) => found.map(|found| object_allocator(memory, symbols, &found.value)),
        Err(error) => {
            gaps.push(Gap::new("python's allocator", with_source(&error)));
            None
        }
    }
}

fn object_allocator(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    interpreter: &Interpreter,
) -> ObjectAllocator {
    match interpreter.domains.map(|domains| domains.obj.backend) {
        _ if interpreter.build.free_threaded => ObjectAllocator::Mimalloc,
        Some(Backend::Pymalloc) => ObjectAllocator::Pymalloc,
        Some(Backend::Malloc) => ObjectAllocator::Malloc,
        Some(Backend::Mimalloc) => ObjectAllocator::Mimalloc,
        Some(Backend::Foreign) if has_pools(memory, symbols) => ObjectAllocator::Slackwater,
        Some(Backend::Foreign) => ObjectAllocator::Unknown,
        None if interpreter.pymalloc.is_empty() => ObjectAllocator::Unknown,
        None => ObjectAllocator::Pymalloc,
    }
}

fn report(interpreter: &Interpreter, objects: ObjectAllocator) -> PythonReport {
    let version = interpreter.version;
    PythonReport {
        version: (version.major, version.minor, version.micro),
        text: version.to_string(),
        objects,
        free_threaded: interpreter.build.free_threaded,
        debug: interpreter.build.debug,
    }
}

/// An error with what caused it, in one line.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Whether our library gave the interpreter its pools.
fn has_pools(memory: &dyn Memory, symbols: &dyn Symbols) -> bool {
    jemalloc::find_block(memory, symbols)
        .and_then(|addr| jemalloc::read_block(memory, addr).ok())
        .is_some_and(|block| !block.pools.is_empty())
}
