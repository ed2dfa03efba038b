//! What the catalogue claims, held against the allocators and programs of this machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use slackwater_tune::library::{self, GlibcRelease, LibraryFault};
use slackwater_tune::program::{Program, Refusal};
use slackwater_tune::settings::{Home, Kind, Setting, settings};
use slackwater_tune::{Allocator, LIBRARY_FOLDERS};

/// The library of `allocator`, as `run` would find it.
fn installed(allocator: Allocator) -> Option<PathBuf> {
    let found = allocator.libraries().iter().find_map(|name| {
        LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
    });
    if found.is_none() {
        eprintln!("not tested: no library of {allocator} here; scripts/setup installs it");
    }
    found
}

const DISTRIBUTED: [Allocator; 3] = [Allocator::Jemalloc, Allocator::Mimalloc, Allocator::Tcmalloc];

#[test]
fn what_distributions_ship_can_serve_on_this_glibc() {
    let libc = fs::read("/lib/x86_64-linux-gnu/libc.so.6").or_else(|_| fs::read("/lib64/libc.so.6")).unwrap();
    let newest = library::newest_symbols_of_libc(&libc[..]).unwrap();
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().unwrap();
    let says = String::from_utf8_lossy(&output.stdout).trim().replace("glibc ", "GLIBC_");
    let release = GlibcRelease::of_version(says.as_bytes()).unwrap();
    // A release may have brought no symbol of its own.
    assert!(newest <= release && newest.minor + 2 > release.minor, "{newest}, {release}");
    for allocator in DISTRIBUTED {
        let Some(path) = installed(allocator) else { continue };
        let needed = library::check(&fs::read(&path).unwrap()[..]).unwrap().unwrap();
        assert!(needed <= newest, "{allocator} needs {needed}");
    }
}

#[test]
fn other_libraries_are_told_from_allocators() {
    let check = |path: &str| library::check(&fs::read(path).unwrap()[..]);
    assert_eq!(check("/lib/x86_64-linux-gnu/libm.so.6"), Err(LibraryFault::NoMalloc));
    assert_eq!(check("/proc/self/status"), Err(LibraryFault::NoLibrary));
    assert_eq!(check("/dev/null"), Err(LibraryFault::NoLibrary));
}

#[test]
fn damaged_libraries_are_refused() {
    let Some(path) = installed(Allocator::Mimalloc) else { return };
    let whole = fs::read(path).unwrap();
    for kept in [0, 4, 19, 63, 64, 200, 4096, whole.len() / 2, whole.len() - 1] {
        assert!(library::check(&whole[..kept]).is_err(), "{kept} bytes");
    }
    // A header that lies: no panic, whatever comes out.
    for index in 0..64 {
        let mut file = whole.clone();
        file[index] ^= 0xff;
        let _ = library::check(&file[..]);
    }
}

#[test]
fn programs_of_this_machine() {
    let of = |path: &str| Program::of(&fs::read(path).unwrap()[..]);
    assert!(matches!(of("/usr/bin/python3"), Program::Preloadable { .. }));
    assert!(matches!(of("/usr/bin/ldd"), Program::Script { .. }));
    for (path, refusal) in [("/usr/bin/ldconfig", Refusal::Static), ("/sbin/ldconfig", Refusal::Static)] {
        if Path::new(path).exists() && fs::read(path).unwrap().starts_with(b"\x7fELF") {
            assert_eq!(of(path), Program::Refused(refusal), "{path}");
        }
    }
}

/// A value that means no harm.
fn sample(setting: &Setting) -> String {
    match setting.kind {
        Kind::Switch => "false".to_owned(),
        Kind::Flag => "0".to_owned(),
        Kind::Number { least, .. } => least.max(1).to_string(),
        Kind::Milliseconds => "1000".to_owned(),
        Kind::Size { .. } => "4096".to_owned(),
        Kind::Decimal { .. } => "1".to_owned(),
        Kind::OneOf(words) | Kind::NumberOr(words) => (*words.last().unwrap()).to_owned(),
        Kind::Text("a path") => "jeprof".to_owned(),
        Kind::Text(what) if what.starts_with("letters") => "J".to_owned(),
        Kind::Text(_) => "64-128:2".to_owned(),
    }
}

/// What jemalloc says about one option.
fn complaint(library: &Path, conf: &str) -> String {
    let output = Command::new("true").env("LD_PRELOAD", library).env("MALLOC_CONF", conf).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn jemalloc_takes_every_option_that_it_is_said_to_have() {
    let Some(library) = installed(Allocator::Jemalloc) else { return };
    assert!(complaint(&library, "no_such_option:1").contains("Invalid conf pair"));
    let is_new = complaint(&library, "calloc_madvise_threshold:4096").is_empty();
    let mut wrong = Vec::new();
    for setting in settings(Allocator::Jemalloc).filter(|setting| setting.home == Home::Conf) {
        let said = complaint(&library, &format!("{}:{}", setting.key, sample(setting)));
        if said.contains("Invalid conf") != (setting.since.is_some() && !is_new) {
            wrong.push(format!("{} {:?}: {said}", setting.key, setting.since));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn glibc_takes_every_tunable_that_it_is_said_to_have() {
    let Ok(output) = Command::new("/lib64/ld-linux-x86-64.so.2").arg("--list-tunables").output() else {
        eprintln!("not tested: no loader at its usual place");
        return;
    };
    let known = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        eprintln!("not tested: this glibc does not list its tunables");
        return;
    }
    for setting in settings(Allocator::Glibc) {
        assert!(known.contains(&format!("glibc.malloc.{}:", setting.key)), "{}", setting.key);
    }
    let ours = known.lines().filter(|line| line.starts_with("glibc.malloc.")).count();
    assert_eq!(ours, settings(Allocator::Glibc).count(), "{known}");
}

#[test]
fn mimalloc_and_tcmalloc_read_the_variables_that_they_are_said_to_read() {
    for allocator in [Allocator::Mimalloc, Allocator::Tcmalloc] {
        let Some(library) = installed(allocator) else { continue };
        let bytes = fs::read(library).unwrap();
        for setting in settings(allocator).filter(|setting| setting.since.is_none()) {
            // mimalloc puts its variables' names together from the options'.
            let word =
                if allocator == Allocator::Mimalloc { setting.key } else { setting.variable().unwrap() };
            let found = bytes
                .windows(word.len() + 1)
                .any(|window| window.starts_with(word.as_bytes()) && window.last() == Some(&0));
            assert!(found, "{allocator} {word}");
        }
    }
}
