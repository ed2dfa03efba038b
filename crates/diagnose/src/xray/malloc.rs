//! Which allocator serves `malloc`, told from the files that a process maps.
//!
//! Invariant: names and exported symbols only; no memory is read. An allocator that is linked in
//! without exporting anything is not seen here, its memory is then anonymous memory of no known
//! allocator.

use std::path::Path;

use slackwater_memory::{FileId, Memory, Symbols};

use crate::{Malloc, MallocKind};

/// Beginnings of file names by which C libraries are known.
const C_LIBRARIES: [(&str, MallocKind); 3] =
    [("ld-musl-", MallocKind::Musl), ("libc.so.6", MallocKind::Glibc), ("libc-2.", MallocKind::Glibc)];

/// Functions that only one allocator exports, for those linked into the executable.
const SYMBOLS: [(&str, MallocKind); 3] = [
    ("mallctl", MallocKind::Jemalloc),
    ("mi_malloc", MallocKind::Mimalloc),
    ("tc_malloc", MallocKind::Tcmalloc),
];

/// What serves `malloc`. The version is left open.
pub(crate) fn identify(memory: &dyn Memory, symbols: &dyn Symbols, executable: Option<&Path>) -> Malloc {
    let mut found: Vec<(MallocKind, String, bool)> = Vec::new();
    let mut last: Option<FileId> = None;
    for mapping in memory.mappings() {
        let (Some(path), Some(file), Some(name)) = (mapping.path(), mapping.file(), mapping.file_name())
        else {
            continue;
        };
        if last.replace(file) == Some(file) || found.iter().any(|(_, known, _)| *known == name) {
            continue;
        }
        let linked = || (executable == Some(path)).then(|| exported(symbols, file)).flatten();
        if let Some(kind) = named(&name).or_else(linked) {
            // A private copy (`je_malloc`) serves whoever calls it by that name, not `malloc`.
            let serves = kind == MallocKind::Glibc || symbols.symbol(file, "malloc").is_some();
            found.push((kind, name.into_owned(), serves));
        }
    }
    // Whoever stands before the C library in the search order wins; among several of those, the order
    // of the list of names is as good as any.
    found.sort_by_key(|(kind, _, serves)| (!serves, *kind == MallocKind::Glibc, *kind == MallocKind::Musl));
    let mut found = found.into_iter();
    let first = found.next().filter(|(_, _, serves)| *serves);
    let others = found.filter(|(kind, ..)| *kind != MallocKind::Glibc).map(|(kind, name, _)| (kind, name));
    Malloc {
        kind: first.as_ref().map_or(MallocKind::Unknown, |(kind, ..)| *kind),
        version: None,
        library: first.map(|(_, name, _)| name),
        others: others.collect(),
    }
}

/// The allocator that a mapped file is: by its name, or by what only one allocator exports.
pub(crate) fn kind_of_file(symbols: &dyn Symbols, file: FileId, name: &str) -> Option<MallocKind> {
    named(name).or_else(|| exported(symbols, file))
}

fn named(name: &str) -> Option<MallocKind> {
    let of_c_library =
        || C_LIBRARIES.iter().find(|(start, _)| name.starts_with(start)).map(|&(_, kind)| kind);
    slackwater_tune::allocator_of_library(name.as_bytes()).map(MallocKind::from).or_else(of_c_library)
}

fn exported(symbols: &dyn Symbols, file: FileId) -> Option<MallocKind> {
    symbols.symbol(file, "malloc")?;
    SYMBOLS.iter().find(|(name, _)| symbols.symbol(file, name).is_some()).map(|&(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Addr, Range};
    use slackwater_memory::{Image, Kind};

    use super::*;

    /// A process that maps these files; those marked with `!` export malloc.
    fn identified(files: &[&str], exported: &[&str]) -> Malloc {
        let mut image = Image::new();
        for (index, file) in files.iter().enumerate() {
            let id = FileId { device: 1, inode: index as u64 + 1 };
            let path = Path::new("/lib").join(file.trim_end_matches('!'));
            let kind = Kind::File { path, id, deleted: false };
            image = image.map(Addr((index as u64 + 1) << 20), vec![0; 4096], kind);
            let symbol = Range::sized(Addr((index as u64 + 1) << 20), 16);
            if file.ends_with('!') {
                image.define(id, "malloc", symbol);
            }
            for name in exported.iter().filter(|_| index == 0) {
                image.define(id, name, symbol);
            }
        }
        identify(&image, &image, Some(Path::new("/lib/python3")))
    }

    #[test]
    fn the_first_in_the_search_order_serves() {
        let check = |files: &[&str], exported: &[&str], kind: MallocKind, others: usize| {
            let malloc = identified(files, exported);
            assert_eq!((malloc.kind, malloc.others.len()), (kind, others), "{files:?}: {malloc:?}");
        };
        check(&["python3", "libc.so.6!"], &[], MallocKind::Glibc, 0);
        check(&["python3", "libc-2.17.so!"], &[], MallocKind::Glibc, 0);
        check(&["python3", "libc.so.6!", "libjemalloc.so.2!"], &[], MallocKind::Jemalloc, 0);
        check(&["python3", "libc.so.6!", "libjemalloc.so.2"], &[], MallocKind::Glibc, 1);
        check(&["python3", "libtcmalloc_minimal.so.4!", "libc.so.6!"], &[], MallocKind::Tcmalloc, 0);
        check(
            &["python3", "libslackwater_alloc.so!", "libjemalloc.so.2", "libc.so.6!"],
            &[],
            MallocKind::Slackwater,
            1,
        );
        check(&["python3!", "libc.so.6!"], &["mallctl"], MallocKind::Jemalloc, 0);
        check(&["python3", "ld-musl-x86_64.so.1!"], &[], MallocKind::Musl, 0);
        check(&["python3"], &[], MallocKind::Unknown, 0);
    }
}
