//! What became of each file that a process was asked to preload.
//!
//! Invariant: a file is judged as the process itself would find it: below its root, with its rights.
//! That it is not mapped is seen in its mappings, never concluded.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use slackwater_memory::Memory;
use slackwater_procfs::{Named, NamedFile, Process};
use slackwater_tune::library::{HEADER_BYTES, begins_shared_object};

use super::environment::Environment;
use super::{Fate, Preload, PreloadSource};
use crate::MallocKind;

/// Most entries that are looked at.
const MOST_ENTRIES: usize = 64;
/// Most bytes that are read of the system's list.
const LIST_BYTES: u64 = 64 << 10;

/// Every entry of the system's list and of the environment, in the order in which the loader takes them.
pub(crate) fn find(process: &Process, memory: &dyn Memory, environment: &Environment) -> Vec<Preload> {
    let of_variable = environment.get("LD_PRELOAD").unwrap_or_default();
    let of_system = system_list(process);
    let from = |source, list| {
        let entries = entries(list).take(MOST_ENTRIES);
        entries.map(|entry| look(process, memory, entry.to_owned(), source)).collect::<Vec<_>>()
    };
    let mut preloads = from(PreloadSource::Environment, of_variable);
    preloads.extend(from(PreloadSource::System, &of_system));
    preloads
}

/// The entries of either list: the loader splits both at blanks and colons.
pub(crate) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split([' ', ':', '\n', '\t']).filter(|entry| !entry.is_empty())
}

fn system_list(process: &Process) -> String {
    let named = process.named(Path::new("/etc/ld.so.preload"));
    let Ok(Named::File(NamedFile { opened: Some(file), .. })) = named else { return String::new() };
    let mut bytes = Vec::new();
    let _ = file.take(LIST_BYTES).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    // What follows a '#' is a comment.
    text.lines().map(|line| format!("{}\n", line.split('#').next().unwrap_or_default())).collect()
}

fn look(process: &Process, memory: &dyn Memory, entry: String, source: PreloadSource) -> Preload {
    let path = Path::new(&entry);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let allocator = slackwater_tune::allocator_of_library(entry.as_bytes()).map(MallocKind::from);
    let fate = fate(process, memory, path, &name);
    let instead = (fate != Fate::Mapped).then(|| instead(process, path, &name)).flatten();
    Preload { entry, source, allocator, fate, instead }
}

fn fate(process: &Process, memory: &dyn Memory, path: &Path, name: &str) -> Fate {
    // A name without folders is looked for by the loader, and one with a `$` is a pattern; either is
    // known by the file name alone. `libx.so.2` may be a link to `libx.so.2.0`.
    let is_of_name =
        |mapped: &str| mapped == name || mapped.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let code = || memory.mappings().iter().filter(|mapping| mapping.access.execute);
    let by_name = || code().any(|mapping| mapping.file_name().is_some_and(|mapped| is_of_name(&mapped)));
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&b'$') {
        return if by_name() { Fate::Mapped } else { Fate::Missing };
    }
    if code().any(|mapping| mapping.path() == Some(path)) {
        return Fate::Mapped;
    }
    match process.named(path) {
        Ok(Named::Missing) => Fate::Missing,
        Ok(Named::Other) => Fate::Foreign,
        Ok(Named::File(file)) => {
            // Device numbers differ between maps and stat on overlay and btrfs; the inode does not.
            if code().any(|mapping| mapping.file().is_some_and(|id| id.inode == file.inode)) {
                Fate::Mapped
            } else {
                unmapped(process, &file)
            }
        }
        // The name cannot be followed, by us at least.
        Err(_) if by_name() => Fate::Mapped,
        Err(_) => Fate::Ignored,
    }
}

/// Why a file that exists is not mapped.
fn unmapped(process: &Process, file: &NamedFile) -> Fate {
    let ids = process.status().ok().and_then(|status| Some((status.uids?[1], status.gids?[1])));
    if ids.is_some_and(|(uid, gid)| !file.is_readable_by(uid, gid)) {
        return Fate::Unreadable;
    }
    let mut header = Vec::new();
    let read = file.opened.as_ref().map(|opened| opened.take(HEADER_BYTES).read_to_end(&mut header));
    match read {
        Some(Ok(_)) if !begins_shared_object(&header) => Fate::Foreign,
        _ => Fate::Ignored,
    }
}

/// A file of the same name in one of the folders where distributions keep libraries.
fn instead(process: &Process, path: &Path, name: &str) -> Option<PathBuf> {
    let folders = slackwater_tune::LIBRARY_FOLDERS.iter().map(Path::new);
    let mut candidates = folders.map(|folder| folder.join(OsStr::new(name)));
    candidates.find(|candidate| candidate != path && names_a_library(process, candidate))
}

fn names_a_library(process: &Process, path: &Path) -> bool {
    let Ok(Named::File(NamedFile { opened: Some(file), .. })) = process.named(path) else { return false };
    let mut header = Vec::new();
    file.take(HEADER_BYTES).read_to_end(&mut header).is_ok() && begins_shared_object(&header)
}
