//! The order in which the loader looks for a function: its own list of files, the program first, then
//! what is preloaded, then what these need.
//!
//! Invariant: the list is the target's, and may be torn or a lie: it is followed a bounded number of
//! times, and only addresses in mapped files count.

use std::path::Path;

use slackwater_memory::{FileId, Memory, MemoryExt, Symbols};

/// Most files that are followed; the largest programs map some hundred.
const MOST_FILES: usize = 4096;

/// `struct r_debug` and `struct link_map` of elf/link.h; the same in every glibc.
mod at {
    pub(super) const R_MAP: u64 = 8;
    pub(super) const L_LD: u64 = 16;
    pub(super) const L_NEXT: u64 = 24;
}

/// The files in the loader's order. Empty when there is no loader that we know.
pub(crate) fn search_order(memory: &dyn Memory, symbols: &dyn Symbols) -> Vec<FileId> {
    let mut order = Vec::new();
    let Some(debug) = loader(memory).and_then(|file| symbols.symbol(file, "_r_debug")) else { return order };
    let Ok(mut entry) = memory.read_addr(debug.start + at::R_MAP) else { return order };
    for _ in 0..MOST_FILES {
        if entry.is_null() {
            break;
        }
        let field = |offset| memory.read_addr(entry.checked_add(offset).unwrap_or_default());
        let (Ok(dynamic), Ok(next)) = (field(at::L_LD), field(at::L_NEXT)) else { break };
        // The vdso is in the list and no file.
        let file = memory.mapping_at(dynamic).and_then(|mapping| mapping.file());
        order.extend(file.filter(|file| !order.contains(file)));
        entry = next;
    }
    order
}

/// The loader's own file, under any of the names that it had.
pub(crate) fn loader(memory: &dyn Memory) -> Option<FileId> {
    let is_loader =
        |name: &str| ["ld-linux", "ld-2.", "ld.so", "ld64.so"].iter().any(|start| name.starts_with(start));
    let files = memory.mappings().iter().filter(|mapping| mapping.access.execute);
    files
        .filter(|mapping| {
            mapping.path().is_some_and(is_musl) || mapping.file_name().is_some_and(|name| is_loader(&name))
        })
        .find_map(|mapping| mapping.file())
}

/// Whether a file is musl, which is a loader and a C library in one: `ld-musl-x86_64.so.1`, on Debian a
/// link to `/usr/lib/x86_64-linux-musl/libc.so`.
pub(crate) fn is_musl(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let in_its_folder = || path.parent().is_some_and(|folder| folder.to_string_lossy().ends_with("-musl"));
    name.starts_with("ld-musl-") || name == "libc.so" && in_its_folder()
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Addr, Range};
    use slackwater_memory::{Access, Image, Kind};

    use super::*;

    const LOADER: FileId = FileId { device: 1, inode: 9 };

    /// Three files, each with its entry of the list in its first page; the loader's `_r_debug` in its own.
    fn image(next: [u64; 3]) -> Image {
        let file = |inode| FileId { device: 1, inode };
        let mut image = Image::new();
        for (inode, next) in (1_u64..).zip(next) {
            let start = 0x10000 * inode;
            let mut bytes = vec![0; 4096];
            bytes[16..24].copy_from_slice(&(start + 0x800).to_le_bytes());
            bytes[24..32].copy_from_slice(&next.to_le_bytes());
            let path = format!("/lib/lib{inode}.so").into();
            image = image.map(Addr(start), bytes, Kind::File { path, id: file(inode), deleted: false });
        }
        let mut bytes = vec![0; 4096];
        bytes[8..16].copy_from_slice(&0x20000_u64.to_le_bytes());
        let path = "/lib64/ld-linux-x86-64.so.2".into();
        let mut image = image.map(Addr(0x90000), bytes, Kind::File { path, id: LOADER, deleted: false });
        image.set_access(Addr(0x90000), Access { read: true, write: false, execute: true });
        image.define(LOADER, "_r_debug", Range::sized(Addr(0x90000), 40));
        image
    }

    #[test]
    fn the_list_is_followed_and_never_for_ever() {
        let check = |next: [u64; 3], expected: &[u64]| {
            let image = image(next);
            let order: Vec<u64> = search_order(&image, &image).iter().map(|file| file.inode).collect();
            assert_eq!(order, expected, "{next:x?}");
        };
        check([0x30000, 0x10000, 0], &[2, 1, 3]);
        check([0x20000, 0x10000, 0], &[2, 1]);
        check([0, 0xdead_0000, 0], &[2]);
        check([0, u64::MAX, 0], &[2]);
        check([0, 0, 0], &[2]);
    }
}
