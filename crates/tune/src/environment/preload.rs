//! `LD_PRELOAD`: a list that belongs to others too.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::EnvironmentError;
use crate::allocator_of_library;

/// Libraries that replace malloc and are none of the allocators that can be chosen.
const OTHERS: &[&[u8]] = &[
    b"libasan",
    b"libtsan",
    b"libmsan",
    b"liblsan",
    b"libhwasan",
    b"libefence",
    b"libduma",
    b"libdmalloc",
    b"libhardened_malloc",
    b"libsnmalloc",
    b"librpmalloc",
    b"libscudo",
    b"libhoard",
    b"libtbbmalloc_proxy",
    b"libmesh",
    b"libbytehound",
    b"libheaptrack_preload",
];

/// Whether an allocator that is already preloaded may be taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replace {
    /// It stays, and two are refused.
    #[default]
    No,
    /// It is taken out.
    Yes,
}

/// What `LD_PRELOAD` shall be for `library` to serve, given what it is: ours first, because the first
/// one serves, the others kept in place. `None` for unset.
pub(super) fn compose(
    present: Option<&OsStr>,
    library: Option<&Path>,
    replace: Replace,
) -> Result<Option<OsString>, EnvironmentError> {
    if let Some(library) = library
        && library.as_os_str().as_bytes().iter().any(separates)
    {
        return Err(EnvironmentError::Separator { library: library.to_path_buf() });
    }
    let mut entries: Vec<&[u8]> = library.map(|library| library.as_os_str().as_bytes()).into_iter().collect();
    for entry in entries_of(present.unwrap_or_default().as_bytes()) {
        if entries.contains(&entry) {
            continue;
        }
        if replaces_malloc(entry) {
            match replace {
                Replace::Yes => continue,
                Replace::No => {
                    let other = PathBuf::from(OsStr::from_bytes(entry));
                    return Err(EnvironmentError::Occupied { other });
                }
            }
        }
        entries.push(entry);
    }
    // A colon, because a blank needs quoting in too many places.
    let list = entries.join(&b':');
    Ok((!list.is_empty()).then(|| OsString::from_vec(list)))
}

/// The entries of a list, which the loader lets colons and blanks separate.
pub(super) fn entries_of(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(separates).filter(|entry| !entry.is_empty())
}

fn separates(byte: &u8) -> bool {
    matches!(byte, b':' | b' ')
}

fn replaces_malloc(entry: &[u8]) -> bool {
    let name = entry.rsplit(|&byte| byte == b'/').next().unwrap_or(entry);
    allocator_of_library(name).is_some() || OTHERS.iter().any(|other| name.starts_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "/opt/libslackwater_alloc.so";

    #[track_caller]
    fn check(present: &str, expected: Option<&str>) {
        let composed = compose(Some(OsStr::new(present)), Some(Path::new(OURS)), Replace::No).ok();
        assert_eq!(composed, expected.map(|text| Some(OsString::from(text))), "{present}");
    }

    #[test]
    fn ours_comes_first_and_others_stay_in_place() {
        check("", Some(OURS));
        check("/a.so", Some("/opt/libslackwater_alloc.so:/a.so"));
        check("/a.so /b.so:/c.so", Some("/opt/libslackwater_alloc.so:/a.so:/b.so:/c.so"));
        check("/a.so:/opt/libslackwater_alloc.so", Some("/opt/libslackwater_alloc.so:/a.so"));
        check("  :: ", Some(OURS));
        check("/a.so:/a.so", Some("/opt/libslackwater_alloc.so:/a.so"));
    }

    #[test]
    fn a_second_allocator_is_refused_unless_it_may_be_replaced() {
        for other in
            ["/usr/lib/libjemalloc.so.2", "libmimalloc.so", "/x/libasan.so.8", "/old/libslackwater_alloc.so"]
        {
            check(other, None);
            let list = OsString::from(format!("/a.so:{other}:/b.so"));
            let composed = compose(Some(&list), Some(Path::new(OURS)), Replace::Yes).unwrap();
            assert_eq!(composed, Some(OsString::from(format!("{OURS}:/a.so:/b.so"))));
            let none = compose(Some(OsStr::new(other)), None, Replace::Yes).unwrap();
            assert_eq!(none, None);
        }
    }

    #[test]
    fn a_path_that_the_loader_would_take_apart_is_refused() {
        for library in ["/my libs/l.so", "/a:b/l.so"] {
            assert!(compose(None, Some(Path::new(library)), Replace::No).is_err(), "{library}");
        }
    }
}
