//! The runtime's list of interpreters.

use slackwater_base::{Addr, Gap, Partial};
use slackwater_layout::cpython::{DebugOffsets, PythonVersion, ReleaseLevel, RuntimeLayout};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use crate::PythonError;

/// Most interpreters that are listed.
const MOST: usize = 4096;

/// The runtime's own table of offsets, for releases that export one.
pub(crate) fn read_offsets<M: Memory + ?Sized>(
    memory: &M,
    runtime: Addr,
    version: PythonVersion,
) -> Result<Option<DebugOffsets>, PythonError> {
    if !version.is_from(13) {
        return Ok(None);
    }
    let mut bytes = [0; DebugOffsets::SIZE];
    memory.read(runtime, &mut bytes).map_err(|source| PythonError::ReadRuntime { addr: runtime, source })?;
    match DebugOffsets::parse(&bytes) {
        Some(offsets) if offsets.version == version => Ok(Some(offsets)),
        _ => Err(PythonError::DecodeOffsets { addr: runtime, version }),
    }
}

/// Whether a runtime whose release is not known has no interpreter: its text is formatted when the
/// first one starts.
pub(crate) fn is_unstarted<M: Memory + ?Sized>(memory: &M, runtime: Addr) -> bool {
    let heads = [8, 11].map(|minor| {
        let version = PythonVersion { major: 3, minor, micro: 0, level: ReleaseLevel::Final, serial: 0 };
        RuntimeLayout::of(version).map(|layout| runtime + layout.interpreters_head)
    });
    heads.into_iter().flatten().all(|head| memory.read_addr(head).is_ok_and(Addr::is_null))
}

/// The interpreters, newest first; the main one is the last. None before Python is initialised.
pub(crate) fn list<M: Memory + ?Sized>(
    memory: &M,
    runtime: Addr,
    layout: &RuntimeLayout,
) -> Result<Partial<Vec<Addr>>, PythonError> {
    let mut listed = Partial::<Vec<Addr>>::default();
    let head = runtime + layout.interpreters_head;
    let mut next =
        memory.read_addr(head).map_err(|source| PythonError::ReadRuntime { addr: head, source })?;
    while !next.is_null() {
        if listed.value.len() == MOST || listed.value.contains(&next) {
            listed.gaps.push(Gap::new("python interpreters", "the list of them does not end"));
            break;
        }
        listed.value.push(next);
        next = match memory.read_addr(next + layout.interpreter_next) {
            Ok(after) => after,
            Err(source @ (MemoryError::Denied | MemoryError::Gone)) => {
                return Err(PythonError::ReadRuntime { addr: next, source });
            }
            Err(error) => {
                listed.gaps.push(Gap::new("python interpreters", error.to_string()));
                listed.value.pop();
                break;
            }
        };
    }
    Ok(listed)
}
