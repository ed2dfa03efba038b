//! Where calls of `malloc` really go: not what is asked for or mapped, but what the words hold through
//! which each mapped file calls.
//!
//! ```text
//! libpython  call malloc ─▶ word in its linkage table ─▶ address in libjemalloc.so.2     bound
//!                                                     ─▶ address in libpython itself     not looked up yet
//!                                                     ─▶ address in the program          its stub: as the program
//! ```
//!
//! Invariant: reads only, each word once. A word that cannot be read says nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use slackwater_memory::{FileId, MemoryExt};

use super::{Elsewhere, Evidence, Server, Sight};
use crate::MallocKind;
use crate::xray::kind_of_file;

/// The functions whose bindings are looked at.
const NAMES: [&str; 2] = ["malloc", "free"];
const MALLOC: usize = 0;
const FREE: usize = 1;

/// Most exceptions that are listed.
const MOST_LISTED: usize = 16;

/// Where a file's calls of one function go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goes {
    /// To code of this file.
    To(FileId),
    /// To code that no file holds.
    Nowhere,
    /// The loader will look it up at the first call.
    NotYet,
    /// Through another file's stub.
    Through(FileId),
}

/// A mapped file with code.
struct Module {
    file: FileId,
    path: PathBuf,
    name: String,
    /// Whether it offers `malloc` to others.
    offers: bool,
    goes: [Option<Goes>; 2],
}

impl Module {
    /// Whether it is what `record` puts in front of malloc: preloaded, or out of memory.
    fn is_agent(&self) -> bool {
        self.name == "libslackwater_agent.so" || self.name.starts_with("memfd:slackwater_agent")
    }
}

/// What serves `malloc`: `order` is the loader's, `executable` the program.
pub(crate) fn find(sight: Sight<'_>, executable: Option<&Path>, order: &[FileId]) -> Server {
    let modules = modules(sight);
    let goes: HashMap<FileId, [Option<Goes>; 2]> =
        modules.iter().map(|module| (module.file, module.goes)).collect();
    let passes_on = |file: FileId| modules.iter().any(|module| module.file == file && module.is_agent());
    // The first in the loader's order that offers malloc: the agent of a recording passes on to it.
    let behind = order.iter().copied().find(|&file| {
        modules.iter().any(|module| module.file == file && module.offers && !module.is_agent())
    });
    // Where calls end, after at most one stub: stubs are the program's, and its own word is no stub.
    let end = |module: &Module, function: usize| {
        let end = match module.goes[function] {
            Some(Goes::Through(other)) => match goes.get(&other).and_then(|goes| goes[function]) {
                Some(Goes::Through(_)) | None => Some(Goes::NotYet),
                found => found,
            },
            found => found,
        };
        match end {
            Some(Goes::To(file)) if passes_on(file) => behind.map(Goes::To),
            found => found,
        }
    };

    let (serves, evidence) = server(&modules, executable, behind, |module| end(module, MALLOC));
    let Some(serves) = serves.and_then(|file| modules.iter().find(|module| module.file == file)) else {
        return Server::unknown();
    };
    let path_of = |file| modules.iter().find(|module| module.file == file).map(|module| module.path.clone());
    let mut server = Server {
        kind: if super::scope::is_musl(&serves.path) {
            MallocKind::Musl
        } else {
            kind_of_file(sight.symbols, serves.file, &serves.name).unwrap_or(MallocKind::Unknown)
        },
        library: Some(serves.path.clone()),
        evidence,
        n_bound: 0,
        n_unresolved: 0,
        elsewhere: Vec::new(),
        mixed: Vec::new(),
    };
    let loader = super::scope::loader(sight.memory);
    for module in &modules {
        let (malloc, free) = (end(module, MALLOC), end(module, FREE));
        let library = match malloc {
            Some(Goes::To(file)) if file == serves.file => {
                server.n_bound += 1;
                None
            }
            Some(Goes::NotYet) => {
                server.n_unresolved += 1;
                None
            }
            // An allocator that calls itself.
            Some(Goes::To(file)) if file == module.file => None,
            Some(Goes::To(file)) => Some(path_of(file)),
            Some(Goes::Nowhere) => Some(None),
            Some(Goes::Through(_)) | None => None,
        };
        // The loader allocates before there is anything else, and keeps its own functions for that.
        let is_loader = loader == Some(module.file);
        if let Some(library) = library.filter(|_| !is_loader && server.elsewhere.len() < MOST_LISTED) {
            server.elsewhere.push(Elsewhere { caller: module.path.clone(), library });
        }
        let is_mixed = matches!((malloc, free), (Some(Goes::To(one)), Some(Goes::To(other))) if one != other);
        if is_mixed && !is_loader && server.mixed.len() < MOST_LISTED {
            server.mixed.push(module.path.clone());
        }
    }
    server
}

/// The file that serves, and how that is known: by what the program itself calls; else by what the
/// interpreter does, since a launcher may allocate nothing; else by what most do.
fn server(
    modules: &[Module],
    executable: Option<&Path>,
    behind: Option<FileId>,
    goes: impl Fn(&Module) -> Option<Goes>,
) -> (Option<FileId>, Evidence) {
    let program = modules.iter().find(|module| Some(module.path.as_path()) == executable);
    if let Some(program) = program.filter(|program| program.offers) {
        return (Some(program.file), Evidence::LinkedIn);
    }
    let interpreter = modules.iter().find(|module| module.name.starts_with("libpython"));
    for module in [program, interpreter].into_iter().flatten() {
        if let Some(Goes::To(file)) = goes(module) {
            return (Some(file), Evidence::Bound);
        }
    }
    // A static program has no loader that would look anything up.
    if let Some(first) = behind {
        return (Some(first), Evidence::SearchOrder);
    }
    let mapped = modules.iter().find(|module| module.offers && super::scope::is_musl(&module.path));
    match mapped {
        Some(module) => (Some(module.file), Evidence::Mapped),
        None => (None, Evidence::Unknown),
    }
}

fn modules(sight: Sight<'_>) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for mapping in sight.memory.mappings().iter().filter(|mapping| mapping.access.execute) {
        let (Some(file), Some(path), Some(name)) = (mapping.file(), mapping.path(), mapping.file_name())
        else {
            continue;
        };
        if seen.insert(file) {
            let offers = sight.bindings.offered(file, NAMES[MALLOC]).is_some();
            let (path, name) = (path.to_path_buf(), name.into_owned());
            modules.push(Module { file, path, name, offers, goes: goes(sight, file, offers) });
        }
    }
    modules
}

/// Where the calls of one file go, before stubs are followed. Of several words for one function, the
/// first that is decided counts.
fn goes(sight: Sight<'_>, file: FileId, offers: bool) -> [Option<Goes>; 2] {
    let mut goes = [None; 2];
    for (name, slot) in sight.bindings.slots(file, &NAMES) {
        let decided = match sight.memory.read_addr(slot) {
            Err(_) => continue,
            Ok(target) if target.is_null() => continue,
            Ok(target) => match sight.memory.mapping_at(target).and_then(|mapping| mapping.file()) {
                None => Goes::Nowhere,
                Some(other) if other == file && !offers => Goes::NotYet,
                Some(other) if sight.bindings.offered(other, NAMES[name]).is_none() => Goes::Through(other),
                Some(other) => Goes::To(other),
            },
        };
        if matches!(goes[name], None | Some(Goes::NotYet)) {
            goes[name] = Some(decided);
        }
    }
    goes
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Addr, Range};
    use slackwater_memory::{Access, Image, Kind};

    use super::*;

    const PROGRAM: u64 = 1;
    const PYTHON: u64 = 2;
    const JEMALLOC: u64 = 3;
    const LIBC: u64 = 4;
    const WHEEL: u64 = 5;
    const AGENT: u64 = 6;

    const fn file(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    const fn start(inode: u64) -> u64 {
        inode << 16
    }

    /// Where `malloc` of a file lies; `free` follows it.
    const fn malloc(inode: u64) -> u64 {
        start(inode) + 0x100
    }

    /// A process whose files hold these words for `malloc` and `free`; those in `offering` offer both.
    fn found(words: &[(u64, [u64; 2])], offering: &[u64], order: &[u64]) -> Server {
        let names = [
            (PROGRAM, "/usr/bin/python3"),
            (PYTHON, "/usr/lib/libpython3.11.so.1.0"),
            (JEMALLOC, "/usr/lib/libjemalloc.so.2"),
            (LIBC, "/lib/libc.so.6"),
            (WHEEL, "/venv/wheel.so"),
            (AGENT, "/memfd:slackwater_agent"),
        ];
        let mut image = Image::new();
        for (inode, path) in names {
            let mut bytes = vec![0; 4096];
            for (_, held) in words.iter().filter(|(owner, _)| *owner == inode) {
                bytes[..8].copy_from_slice(&held[0].to_le_bytes());
                bytes[8..16].copy_from_slice(&held[1].to_le_bytes());
            }
            let kind = Kind::File { path: path.into(), id: file(inode), deleted: false };
            image = image.map(Addr(start(inode)), bytes, kind);
            image.set_access(Addr(start(inode)), Access { read: true, write: true, execute: true });
            if words.iter().any(|(owner, _)| *owner == inode) {
                image.import(file(inode), "malloc", Addr(start(inode)));
                image.import(file(inode), "free", Addr(start(inode) + 8));
            }
            if offering.contains(&inode) {
                image.define(file(inode), "malloc", Range::sized(Addr(malloc(inode)), 16));
                image.define(file(inode), "free", Range::sized(Addr(malloc(inode) + 16), 16));
            }
        }
        let sight = Sight { memory: &image, symbols: &image, bindings: &image };
        let order: Vec<FileId> = order.iter().map(|&inode| file(inode)).collect();
        find(sight, Some(Path::new("/usr/bin/python3")), &order)
    }

    const fn both(inode: u64) -> [u64; 2] {
        [malloc(inode), malloc(inode) + 16]
    }

    #[track_caller]
    fn check(server: &Server, kind: MallocKind, evidence: Evidence, bound: usize, unresolved: usize) {
        let got = (server.kind, server.evidence, server.n_bound, server.n_unresolved);
        assert_eq!(got, (kind, evidence, bound, unresolved), "{server:?}");
    }

    #[test]
    fn the_words_decide_and_not_the_list_of_files() {
        use Evidence::{Bound, SearchOrder};
        use MallocKind::{Glibc, Jemalloc};
        const BOTH: &[u64] = &[JEMALLOC, LIBC];
        let all = [(PROGRAM, both(JEMALLOC)), (PYTHON, both(JEMALLOC)), (WHEEL, both(JEMALLOC))];
        check(&found(&all, BOTH, &[PROGRAM, JEMALLOC, LIBC]), Jemalloc, Bound, 3, 0);
        // It is mapped, and a wheel calls it, but the program does not.
        let private = [(PROGRAM, both(LIBC)), (PYTHON, both(LIBC)), (WHEEL, both(JEMALLOC))];
        let server = found(&private, BOTH, &[PROGRAM, LIBC, JEMALLOC]);
        check(&server, Glibc, Bound, 2, 0);
        assert_eq!(server.elsewhere[0].caller, Path::new("/venv/wheel.so"));
        assert_eq!(server.elsewhere[0].library.as_deref(), Some(Path::new("/usr/lib/libjemalloc.so.2")));
        // Nothing has been called yet: each word still leads into its own file.
        let early = [(PROGRAM, [start(PROGRAM) + 64, start(PROGRAM) + 80])];
        check(&found(&early, BOTH, &[PROGRAM, JEMALLOC, LIBC]), Jemalloc, SearchOrder, 0, 1);
        check(&found(&early, BOTH, &[PROGRAM, LIBC, JEMALLOC]), Glibc, SearchOrder, 0, 1);
        // A launcher that allocates nothing: its interpreter's words count.
        check(&found(&[(PYTHON, both(LIBC))], BOTH, &[PROGRAM, JEMALLOC, LIBC]), Glibc, Bound, 1, 0);
    }

    #[test]
    fn calls_through_the_programs_stub_go_where_the_program_goes() {
        let stub = [start(PROGRAM) + 0x40, start(PROGRAM) + 0x50];
        let words = [(PROGRAM, both(JEMALLOC)), (WHEEL, stub)];
        let server = found(&words, &[JEMALLOC, LIBC], &[PROGRAM, JEMALLOC, LIBC]);
        check(&server, MallocKind::Jemalloc, Evidence::Bound, 2, 0);
        assert!(server.elsewhere.is_empty(), "{server:?}");
        // Stubs that lead to each other lead nowhere, and do not hang us.
        let words = [(PROGRAM, [start(WHEEL) + 0x40; 2]), (WHEEL, stub)];
        let server = found(&words, &[JEMALLOC, LIBC], &[PROGRAM, LIBC]);
        check(&server, MallocKind::Glibc, Evidence::SearchOrder, 0, 2);
    }

    #[test]
    fn allocating_here_and_freeing_there_is_noticed() {
        let words = [(PROGRAM, both(JEMALLOC)), (WHEEL, [malloc(JEMALLOC), malloc(LIBC) + 16])];
        let server = found(&words, &[JEMALLOC, LIBC], &[PROGRAM, JEMALLOC, LIBC]);
        assert_eq!(server.mixed, [PathBuf::from("/venv/wheel.so")]);
    }

    #[test]
    fn an_agent_in_front_passes_on() {
        let words = [(PROGRAM, both(AGENT)), (PYTHON, both(AGENT)), (WHEEL, both(JEMALLOC))];
        let server = found(&words, &[AGENT, JEMALLOC, LIBC], &[PROGRAM, AGENT, JEMALLOC, LIBC]);
        check(&server, MallocKind::Jemalloc, Evidence::Bound, 3, 0);
        // Loaded late, it is not among those that are looked for.
        let server = found(&words, &[AGENT, JEMALLOC, LIBC], &[PROGRAM, JEMALLOC, LIBC]);
        check(&server, MallocKind::Jemalloc, Evidence::Bound, 3, 0);
    }

    #[test]
    fn a_program_that_defines_malloc_serves_itself() {
        let server = found(&[(PYTHON, both(PROGRAM))], &[PROGRAM, LIBC], &[PROGRAM, LIBC]);
        check(&server, MallocKind::Unknown, Evidence::LinkedIn, 1, 0);
        check(&found(&[], &[], &[]), MallocKind::Unknown, Evidence::Unknown, 0, 0);
    }
}
