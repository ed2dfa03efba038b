//! Which C library hands out memory, and which release it is.

use slackwater_base::Addr;
use slackwater_layout::glibc::state::StateLayout;
use slackwater_layout::glibc::{DISTINCT_MINORS, NEWEST_MINOR, OLDEST_MINOR, Release};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use super::banner::stated_release;
use super::caches::{self, Locator};
use super::error::GlibcError;
use super::find::{self, Found};
use super::image::DataArea;
use super::params::{self, Params};
use crate::GlibcVersion;

/// The C library that hands out memory.
pub(super) struct Library<'a> {
    pub(super) area: &'a DataArea,
    pub(super) found: Found,
}

/// What a library turned out to be.
pub(super) struct Identity {
    pub(super) release: Release,
    pub(super) params: Params,
    pub(super) locator: Option<Locator>,
}

pub(super) fn find_library<'a>(
    memory: &dyn Memory,
    areas: &'a [DataArea],
) -> Result<Option<Library<'a>>, GlibcError> {
    let mut library: Option<Library> = None;
    for area in areas {
        let Some(found) = find::main_arena(memory, area)? else { continue };
        if !hands_out_memory(memory, &found, area)? {
            continue;
        }
        if let Some(first) = &library {
            return Err(GlibcError::SeveralLibcs {
                first: first.area.path.clone(),
                second: area.path.clone(),
            });
        }
        library = Some(Library { area, found });
    }
    Ok(library)
}

/// Whether a libc that is mapped is also used: behind a preloaded allocator it is not.
fn hands_out_memory(memory: &dyn Memory, found: &Found, area: &DataArea) -> Result<bool, MemoryError> {
    let is_used = |layout: &StateLayout| {
        found.arenas.len() > 1
            || memory.read_u64(layout.system_mem.of(found.arenas[0])).is_ok_and(|bytes| bytes > 0)
    };
    if is_used(found.layout) {
        return Ok(true);
    }
    // Not even one small block, but perhaps large ones.
    for release in releases(found.layout) {
        let params = params::find(memory, release.params, area)?;
        if params.is_some_and(|params| params.settings.n_mmaps > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One release for each set of tables that goes with `layout`, newest first.
fn releases(layout: &'static StateLayout) -> impl Iterator<Item = Release> {
    let minors = DISTINCT_MINORS.iter().rev();
    minors
        .filter_map(|minor| Release::of_minor(*minor))
        .filter(move |release| std::ptr::eq(release.state, layout))
}

/// Decides which tables hold. A shared library says which release it is. A static executable does
/// not: then the newest release whose settings and thread caches are found where it has them.
pub(super) fn identify(
    memory: &dyn Memory,
    library: &Library,
    descriptors: &[Addr],
) -> Result<Option<Identity>, GlibcError> {
    let layout = library.found.layout;
    let identify_as = |release: Release| -> Result<Option<Identity>, MemoryError> {
        let Some(params) = params::find(memory, release.params, library.area)? else { return Ok(None) };
        let locator = caches::locate(memory, &release, params.tcache_count, descriptors);
        Ok(Some(Identity { release, params, locator }))
    };
    if let Some(version) = stated_release(memory, library.area.file) {
        let release = known_release(version).map_err(|nearest| GlibcError::UnknownRelease {
            version,
            nearest,
            path: library.area.path.clone(),
        })?;
        // Distributions have moved single fields back into older releases: what was probed holds.
        return Ok(identify_as(Release { state: layout, ..release })?);
    }
    let mut best: Option<Identity> = None;
    for release in releases(layout) {
        let Some(identity) = identify_as(release)? else { continue };
        let n_chunks = |identity: &Identity| identity.locator.map_or(0, |locator| locator.n_chunks);
        if best.as_ref().is_none_or(|best| n_chunks(&identity) > n_chunks(best)) {
            best = Some(identity);
        }
    }
    Ok(best)
}

/// The tables of a release, or the nearest release that has some.
fn known_release(version: GlibcVersion) -> Result<Release, GlibcVersion> {
    let nearest = |minor| GlibcVersion { major: 2, minor };
    match version.major {
        2 => Release::of_minor(version.minor)
            .ok_or_else(|| nearest(version.minor.clamp(OLDEST_MINOR, NEWEST_MINOR))),
        0 | 1 => Err(nearest(OLDEST_MINOR)),
        _ => Err(nearest(NEWEST_MINOR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_releases_are_refused_with_the_nearest_known_one() {
        let check = |major, minor, expected: Result<u16, u16>| {
            let found = known_release(GlibcVersion { major, minor });
            assert_eq!(found.map(|release| release.minor).map_err(|nearest| nearest.minor), expected);
        };
        check(2, 36, Ok(36));
        check(2, 17, Ok(17));
        check(2, 43, Ok(43));
        check(2, 16, Err(17));
        check(2, 44, Err(43));
        check(3, 0, Err(43));
    }
}
