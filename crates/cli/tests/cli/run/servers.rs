//! A real server under every allocator of this machine: the library serves in the master and in every
//! worker, and the answers are right.

use std::fs;
use std::path::Path;

use slackwater_base::Pid;
use slackwater_testkit::{Program, Target, allocator_library};
use tempfile::TempDir;

use crate::repository;

const APP: &str = r#"
import os

def app(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"%d" % os.getpid()]

def post_worker_init(worker):
    maps = open("/proc/self/maps").read()
    loaded = [name for name in ("slackwater_alloc", "jemalloc", "mimalloc", "tcmalloc") if name in maps]
    os.write(1, ("ready %d %d %s %s\n" % (
        os.getpid(), os.getppid(), ",".join(loaded) or "none", os.environ.get("PYTHONMALLOC"))).encode())
"#;

/// A gunicorn with two workers, started by `slackwater run`.
fn gunicorn(words: &str, folder: &TempDir) -> Option<Target> {
    let server = repository().join("demo/.venv/bin/gunicorn");
    if !server.exists() {
        eprintln!("not tested: no gunicorn, which `make setup` installs in demo/.venv");
        return None;
    }
    fs::write(folder.path().join("shop.py"), APP).unwrap();
    let mut program = Program::command(Path::new(env!("CARGO_BIN_EXE_slackwater"))).arg("run");
    for word in words.split_whitespace() {
        program = program.arg(word);
    }
    program = program.arg("--").arg(&server);
    for word in ["--workers", "2", "--no-control-socket", "--config", "python:shop", "--bind"] {
        program = program.arg(word);
    }
    program = program.arg(format!("unix:{}", folder.path().join("socket").display())).arg("shop:app");
    program = program.env("PYTHONPATH", folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(program.env("SLACKWATER_LIBRARY", allocator_library().unwrap()).spawn().unwrap())
}

#[track_caller]
fn check(words: &str, loaded: &str, pythonmalloc: &str) {
    let folder = tempfile::Builder::new().prefix("sw").tempdir().unwrap();
    let Some(mut server) = gunicorn(words, &folder) else { return };
    let second = server.answer("the second worker").unwrap();
    for line in [server.greeting().to_owned(), second.trim_start_matches("ready ").to_owned()] {
        let words: Vec<&str> = line.split(' ').collect();
        // The master is the process that was started: nothing stands in between.
        assert_eq!(Pid(words[1].parse().unwrap()), server.pid(), "{line}");
        assert_eq!(words[2..], [loaded, pythonmalloc], "{line}");
    }
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap();
    assert_eq!(maps.contains(loaded), loaded != "none");
    server.signal(libc::SIGTERM);
    assert!(server.finish().unwrap().success());
}

#[test]
fn gunicorn_runs_on_ours() {
    check("-q", "slackwater_alloc", "None");
}

#[test]
fn gunicorn_runs_on_every_allocator_of_the_distribution() {
    for (allocator, pythonmalloc) in [("jemalloc", "malloc"), ("mimalloc", "None"), ("tcmalloc", "None")] {
        let folders = slackwater_tune::LIBRARY_FOLDERS;
        let names =
            slackwater_tune::Allocator::ALL.iter().find(|one| one.key() == allocator).unwrap().libraries();
        let installed =
            names.iter().any(|name| folders.iter().any(|folder| Path::new(folder).join(name).exists()));
        if !installed {
            eprintln!("not tested: no {allocator} here; scripts/setup installs it");
            continue;
        }
        check(&format!("-q --allocator {allocator}"), allocator, pythonmalloc);
    }
}

#[test]
fn gunicorn_runs_on_glibc_with_its_tunables() {
    check("-q --allocator glibc", "none", "None");
}
