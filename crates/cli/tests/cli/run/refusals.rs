//! Bad input: a clear error, the right exit code, and nothing started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use slackwater_testkit::{Linking, Program, allocator_library, glibc_roots};
use tempfile::TempDir;

use super::run_on;
use crate::{Ran, slackwater};

const NOBODY: u32 = 65534;

/// A folder that everyone may enter.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[track_caller]
fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out, "", "something was started");
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
}

/// That `run WORDS -- COMMAND` is refused.
#[track_caller]
fn check(words: &str, command: &[&str], code: i32, said: &[&str]) {
    assert_refused(&run_on(words, command).output().unwrap().into(), code, said);
}

#[test]
fn what_does_not_make_sense_is_usage_and_starts_nothing() {
    let starts = ["echo", "started"];
    check("--allocator jemaloc", &starts, 2, &["did you mean jemalloc?"]);
    check("--allocator /no/such/library.so", &starts, 2, &["cannot serve as malloc", "hint:"]);
    check(
        "--set dirty_decay=5",
        &starts,
        2,
        &["has no setting 'dirty_decay'", "did you mean dirty_decay_ms?"],
    );
    check("--set narenas=many", &starts, 2, &["'many' is not a value of narenas", "hint: narenas is"]);
    check("--set narenas", &starts, 2, &["KEY=VALUE"]);
    check("--allocator glibc --governor off", &starts, 2, &["glibc has no setting 'governor'"]);
    check("--pymalloc maybe", &starts, 2, &["invalid value"]);
    check("", &[], 2, &["COMMAND"]);
    check("--set narenas=1", &[], 2, &["no command is named"]);
}

#[test]
fn commands_that_are_not_there_or_may_not_run() {
    let folder = folder();
    let plain = file(&folder, "plain", "#!/bin/sh\n", 0o644);
    let nothing = file(&folder, "nothing", b"\0\0\0\0", 0o755);
    let lost = file(&folder, "lost", "#!/no/such/python -u\n", 0o755);
    let sought = file(&folder, "sought", "#!/usr/bin/env no-such-python\n", 0o755);
    let circle = folder.path().join("circle");
    file(&folder, "circle", format!("#!{}\n", circle.display()), 0o755);
    let words = |path: &Path| path.to_str().unwrap().to_owned();
    check("", &["no-such-command"], 2, &["there is no command no-such-command", "PATH"]);
    check("", &["./no/such/command"], 2, &["there is no command"]);
    check("", &[&words(&plain)], 3, &["cannot execute", "not executable"]);
    check("", &[&words(folder.path())], 3, &["cannot execute", "folder"]);
    check("", &[&words(&nothing)], 4, &["neither a program nor a script"]);
    check("", &[&words(&lost)], 2, &["needs an interpreter", "there is no /no/such/python"]);
    check("", &[&words(&sought)], 2, &["needs an interpreter", "there is no no-such-python"]);
    check("", &[&words(&circle)], 4, &["more interpreters"]);
}

#[test]
fn libraries_that_cannot_serve() {
    let folder = folder();
    let library = fs::read(allocator_library().unwrap()).unwrap();
    let altered = |name: &str, at: usize, bytes: &[u8]| {
        let mut copy = library.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        file(&folder, name, copy, 0o644)
    };
    let check_library = |path: &Path, said: &str| {
        check(
            &format!("--allocator {}", path.display()),
            &["echo", "started"],
            2,
            &["cannot serve as malloc", said],
        );
    };
    check_library(&altered("aarch64.so", 18, &183_u16.to_le_bytes()), "built for aarch64");
    check_library(&altered("x86.so", 18, &3_u16.to_le_bytes()), "32-bit x86");
    check_library(&altered("object.so", 16, &1_u16.to_le_bytes()), "not a shared library");
    check_library(&file(&folder, "cut.so", &library[..library.len() / 2], 0o644), "not a shared library");
    check_library(&file(&folder, "empty.so", "", 0o644), "not a shared library");
    check_library(Path::new("/etc/passwd"), "not a shared library");
    check_library(folder.path(), "error:");
    let blank = file(&folder, "my.so", &library, 0o644);
    let linked = folder.path().join("a:b.so");
    std::os::unix::fs::symlink(blank, &linked).unwrap();
    check(&format!("--allocator {}", linked.display()), &["true"], 2, &["splits LD_PRELOAD"]);
}

#[test]
fn another_allocator_in_the_preload_is_refused_unless_it_may_go() {
    let mut run = run_on("", &["echo", "started"]);
    let ran = Ran::from(run.env("LD_PRELOAD", "/usr/lib/libjemalloc.so.2").output().unwrap());
    // The loader itself says that it does not find the library.
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("LD_PRELOAD already names /usr/lib/libjemalloc.so.2"), "{}", ran.err);
    let mut run = run_on("-q --replace", &["sh", "-c", "echo $LD_PRELOAD"]);
    let ran = Ran::from(run.env("LD_PRELOAD", "/usr/lib/libjemalloc.so.2").output().unwrap());
    assert_eq!(ran.out.trim(), allocator_library().unwrap().to_str().unwrap(), "{}", ran.err);
}

/// As [`run_on`], as a user who may nothing, in a folder of everyone's.
fn as_nobody(folder: &TempDir, words: &str, library: &Path, command: &[&str]) -> Option<Ran> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can become another user");
        return None;
    }
    // The binary may lie below a folder that only root can enter.
    let copy = folder.path().join("slackwater");
    fs::copy(slackwater("").get_program(), &copy).unwrap();
    let mut run = Command::new(copy);
    run.arg("run").args(words.split_whitespace()).arg("--").args(command);
    run.env("SLACKWATER_LIBRARY", library).uid(NOBODY).gid(NOBODY);
    Some(run.output().unwrap().into())
}

#[test]
fn a_library_that_the_services_user_may_not_read() {
    let folder = folder();
    let library =
        file(&folder, "libslackwater_alloc.so", fs::read(allocator_library().unwrap()).unwrap(), 0o000);
    let Some(ran) = as_nobody(&folder, "", &library, &["echo", "started"]) else { return };
    assert_refused(&ran, 3, &["cannot serve as malloc", "Permission denied", "readable for the user"]);
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = as_nobody(&folder, "-q", &library, &["echo", "started"]).unwrap();
    assert_eq!(ran.out, "started\n", "{}", ran.err);
}

#[test]
fn fault_27_a_program_with_raised_rights() {
    let folder = folder();
    let library =
        file(&folder, "libslackwater_alloc.so", fs::read(allocator_library().unwrap()).unwrap(), 0o644);
    let program = file(&folder, "raised", fs::read("/bin/true").unwrap(), 0o4755);
    let Some(ran) = as_nobody(&folder, "", &library, &[program.to_str().unwrap()]) else { return };
    assert_refused(&ran, 4, &["nothing can be preloaded", "set-user-ID"]);
}

const PROGRAM: &str = "#include <stdio.h>\nint main(void) { puts(\"started\"); return 0; }";

fn compiled(compiler: &str, linking: Linking, flags: &[&str]) -> Option<PathBuf> {
    match Program::compiled(compiler, "plain", PROGRAM, linking, flags) {
        Ok(program) => Some(program.executable().to_path_buf()),
        Err(error) => {
            eprintln!("not tested: {compiler} {flags:?}: {error}");
            None
        }
    }
}

#[test]
fn fault_11_programs_into_which_nothing_can_be_preloaded() {
    let check = |program: Option<PathBuf>, said: &str| {
        if let Some(program) = program {
            check("", &[program.to_str().unwrap()], 4, &["nothing can be preloaded", said, "hint:"]);
        }
    };
    check(compiled("musl-gcc", Linking::Dynamic, &[]), "built for musl");
    check(compiled("musl-gcc", Linking::Static, &[]), "statically linked");
    check(compiled("cc", Linking::Static, &[]), "statically linked");
    check(compiled("cc", Linking::StaticPie, &[]), "statically linked");
    let folder = folder();
    let mut other = fs::read("/bin/true").unwrap();
    other[18..20].copy_from_slice(&183_u16.to_le_bytes());
    check(Some(file(&folder, "aarch64", &other, 0o755)), "built for aarch64");
    other[18..20].copy_from_slice(&3_u16.to_le_bytes());
    check(Some(file(&folder, "x86", &other, 0o755)), "built for 32-bit x86");
    // What counts is the program that runs in the end.
    if let Some(musl) = compiled("musl-gcc", Linking::Dynamic, &[]) {
        let script = file(&folder, "script", format!("#!{}\n", musl.display()), 0o755);
        check(Some(script), "built for musl");
    }
}

#[test]
fn fault_11_a_target_with_an_older_glibc_than_the_library_needs() {
    let Some(root) = glibc_roots().iter().min_by_key(|root| root.glibc()) else {
        eprintln!("not tested: no other glibc; `make fixtures` fetches some");
        return;
    };
    // Some roots have the libraries in /lib, some in /usr/lib with a link.
    let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
    let candidates = folders.map(|folder| root.path().join(folder).join("ld-linux-x86-64.so.2"));
    let loader = candidates.iter().find(|path| path.exists()).unwrap();
    let flag = format!("-Wl,--dynamic-linker={}", loader.display());
    let Some(program) = compiled("cc", Linking::Dynamic, &[&flag]) else { return };
    // Something that glibc 2.34 brought, or gave a new version.
    let folder = folder();
    let source = file(
        &folder,
        "new.c",
        "#include <pthread.h>\nvoid *malloc(unsigned long n) { pthread_create(0, 0, 0, 0); return 0; }\n",
        0o644,
    );
    let library = folder.path().join("libnew.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-pthread", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(built.unwrap().success());
    let words = format!("--allocator {}", library.display());
    let ran = Ran::from(run_on(&words, &[program.to_str().unwrap()]).output().unwrap());
    assert_refused(&ran, 4, &["needs symbols of glibc", "the target's glibc has those up to 2."]);
}
