//! `verify` on a pre-forking server: what holds in the master need not hold in its workers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slackwater_testkit::{Program, Target, allocator_library};
use tempfile::TempDir;

use crate::repository;
use crate::verify::{JEMALLOC, codes, is_there, processes, verified};

/// An app that says when each worker is up.
const APP: &str = r#"
def app(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"here"]
"#;
const HOOKS: &str =
    "import os\ndef post_worker_init(worker):\n    os.write(1, b'ready %d\\n' % os.getpid())\n";

/// gunicorn with two workers.
struct Gunicorn {
    target: Target,
    folder: TempDir,
}

impl Gunicorn {
    fn start(environment: &[(&str, &Path)]) -> Option<Self> {
        let path = repository().join("demo/.venv/bin/gunicorn");
        if !path.exists() {
            eprintln!("not tested: no gunicorn, which `make setup` installs in demo/.venv");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("sw").tempdir().unwrap();
        std::fs::write(folder.path().join("shop.py"), APP).unwrap();
        std::fs::write(folder.path().join("hooks.py"), HOOKS).unwrap();
        let mut program =
            Program::command(&path).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", folder.path());
        for (name, value) in environment {
            program = program.env(name, value);
        }
        for word in ["--worker-class", "gthread", "--threads", "2", "--workers", "2", "--no-control-socket"] {
            program = program.arg(word);
        }
        program = program.arg("--config").arg(folder.path().join("hooks.py"));
        program = program.arg("--bind").arg(format!("unix:{}", socket(&folder).display())).arg("shop:app");
        let mut target = program.spawn().unwrap();
        target.answer("the second worker").unwrap();
        Some(Self { target, folder })
    }

    fn answers(&self) -> bool {
        let mut stream = UnixStream::connect(socket(&self.folder)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.contains(" 200 ") && answer.contains("here")
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}

fn of_role<'a>(document: &'a Value, role: &str) -> Vec<&'a Value> {
    processes(document).iter().filter(|process| process["role"] == role).collect()
}

#[test]
fn fault_25_background_threads_that_ended_at_the_fork_are_missed() {
    if !is_there(JEMALLOC) {
        return;
    }
    let conf = Path::new("background_thread:true,dirty_decay_ms:1234");
    let Some(server) = Gunicorn::start(&[("LD_PRELOAD", Path::new(JEMALLOC)), ("MALLOC_CONF", conf)]) else {
        return;
    };
    let document = verified(server.target.pid(), "--expect jemalloc");
    let [master] = of_role(&document, "master")[..] else { panic!("{document:#}") };
    assert_eq!(master["purging"]["by"], "background-threads", "{master:#}");
    assert!(!codes(master).contains(&"SW230".to_owned()), "{master:#}");
    let workers = of_role(&document, "worker");
    assert_eq!(workers.len(), 2);
    for worker in workers {
        assert_eq!(worker["malloc"]["library"], JEMALLOC);
        assert_eq!(worker["purging"]["when_idle"], false, "{worker:#}");
        assert_eq!(codes(worker), ["SW230", "sw242"], "{worker:#}");
        assert_eq!(worker["as_expected"], true);
    }

    // Asked itself, jemalloc says the same, and what it holds; the service does not notice.
    for _ in 0..5 {
        let document = verified(server.target.pid(), "--enter");
        for worker in of_role(&document, "worker") {
            let setting = |key: &str| {
                let mut settings = worker["settings"].as_array().unwrap().iter();
                settings.find(|setting| setting["key"] == key).unwrap()
            };
            assert_eq!(setting("dirty_decay_ms")["value"], "1234", "{worker:#}");
            assert_eq!(setting("dirty_decay_ms")["origin"], "asked", "{worker:#}");
            assert_eq!(setting("background_thread")["value"], "true", "what it was told, in force or not");
            assert!(worker["version"].as_str().unwrap().starts_with("5."), "{worker:#}");
            assert!(worker["statistics"]["allocated_bytes"].as_u64().unwrap() > 1 << 20, "{worker:#}");
            let evidence = worker["purging"]["evidence"].as_str().unwrap();
            assert!(evidence.ends_with("mallctl says background_thread is false"), "{worker:#}");
        }
        assert!(server.answers());
    }
}

#[test]
fn fault_25_our_library_works_in_every_worker() {
    let library = match allocator_library() {
        Ok(library) => library,
        Err(error) => return eprintln!("not tested: {error}"),
    };
    let environment = [("LD_PRELOAD", library.as_path()), ("PYTHONMALLOC", Path::new("malloc"))];
    let Some(server) = Gunicorn::start(&environment) else { return };
    let document = verified(server.target.pid(), "--expect slackwater");
    assert_eq!(document["ok"], true, "{document:#}");
    for process in processes(&document) {
        assert_eq!(process["malloc"]["evidence"], "bound", "{process:#}");
        assert_eq!(process["purging"]["by"], "governor", "{process:#}");
        assert_eq!(process["governor"]["own"], true, "the block is still its parent's: {process:#}");
        assert_eq!(process["python_objects"], "malloc", "{process:#}");
        assert!(process["settings"].as_array().unwrap().iter().any(|one| one["origin"] == "in force"));
    }
    assert!(server.answers());
}

#[test]
fn fault_25_a_governor_that_is_switched_off_is_told_of() {
    let library = match allocator_library() {
        Ok(library) => library,
        Err(error) => return eprintln!("not tested: {error}"),
    };
    let environment = [
        ("LD_PRELOAD", library.as_path()),
        ("PYTHONMALLOC", Path::new("malloc")),
        ("SLACKWATER_GOVERNOR", Path::new("off")),
    ];
    let Some(server) = Gunicorn::start(&environment) else { return };
    let document = verified(server.target.pid(), "");
    for worker in of_role(&document, "worker") {
        assert_eq!(codes(worker), ["sw233"], "{worker:#}");
        assert_eq!(worker["purging"]["when_idle"], false, "{worker:#}");
    }
}
