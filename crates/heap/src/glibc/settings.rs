//! glibc's settings alone, without a walk of the heap.

use slackwater_memory::Memory;

use super::error::GlibcError;
use super::image;
use super::library::{find_library, identify};
use crate::{GlibcSettings, GlibcVersion};

/// What governs glibc's malloc at this moment, and which release it is. `None` when no glibc hands out
/// memory: another C library, or another allocator before it.
///
/// # Errors
/// See [`GlibcError`].
pub fn settings(memory: &dyn Memory) -> Result<Option<(GlibcVersion, GlibcSettings)>, GlibcError> {
    let areas = image::data_areas(memory);
    let Some(library) = find_library(memory, &areas)? else { return Ok(None) };
    // Thread caches only tell apart the releases of static programs.
    match identify(memory, &library, &[])? {
        Some(identity) => {
            let version = GlibcVersion { major: 2, minor: identity.release.minor };
            Ok(Some((version, identity.params.settings)))
        }
        None => Err(GlibcError::UnknownLayout { path: library.area.path.clone() }),
    }
}
