//! A service started by a recipe's `start.sh`, unchanged, and what its workers hold.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use slackwater_testkit::{Program, Target};
use slackwater_tune::recipes::File;
use tempfile::TempDir;

use crate::{folder, write};

/// Bytes that are small enough for an idle worker that has given back its burst.
pub(crate) const LOW_BYTES: u64 = 70 << 20;
/// Bytes that only a worker that keeps its burst holds.
pub(crate) const HIGH_BYTES: u64 = 110 << 20;

/// What a worker does at `/burst`: frees about 120 MiB in small pieces, and holds on to a piece in a
/// thousand.
const BURST: &str = r#"
import os, threading

kept = []

def burst():
    blocks = [bytes(2000 + index % 512) for index in range(28_000)]
    kept.append(blocks[::1000])

def bursts():
    threads = [threading.Thread(target=burst) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return os.getpid()
"#;

/// `app:app` for WSGI.
pub(crate) const WSGI: &str = r#"
from burst import bursts

os_write = __import__("os").write
os_write(1, b"ready\n")

def app(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"%d" % bursts()]
"#;

/// `app:app` for ASGI.
pub(crate) const ASGI: &str = r#"
import os
from burst import bursts

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        os.write(1, b"ready\n")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"%d" % bursts()})
"#;

/// A server of the demo's virtual environment, started in a folder of its own.
pub(crate) struct Running {
    pub(crate) target: Target,
    folder: TempDir,
}

/// Where the servers are.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/.venv/bin")
}

/// Whether the server is installed; says so if not.
pub(crate) fn has(server: &str) -> bool {
    let is_there = environment().join(server).exists();
    if !is_there {
        eprintln!("not tested: no {server}, which `make setup` installs in demo/.venv");
    }
    is_there
}

impl Running {
    /// Writes `files` and the modules, and starts `start.sh` there. `more` are variables for the server
    /// alone: where it listens, how many workers it has.
    pub(crate) fn start(files: &[File], modules: &[(&str, &str)], more: &[(&str, &str)]) -> Self {
        let folder = folder();
        write(&folder, files);
        fs::write(folder.path().join("burst.py"), BURST).unwrap();
        for (name, source) in modules {
            fs::write(folder.path().join(name), source).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", environment().display());
        let start = format!("cd {} && exec sh start.sh", folder.path().display());
        let mut program = Program::command(Path::new("/bin/sh")).arg("-c").arg(start).env("PATH", path);
        program = program.env("PYTHONDONTWRITEBYTECODE", "1");
        for (name, value) in more {
            program = program.env(name, value.replace("SOCKET", &socket(&folder)));
        }
        let target = program.spawn().unwrap_or_else(|error| panic!("{error}"));
        Self { target, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a worker burst a few times: its pid.
    pub(crate) fn burst(&self) -> i32 {
        self.get();
        self.get();
        self.get()
    }

    /// With the app loaded before the fork, `ready` comes before the server listens.
    fn connect(&self) -> UnixStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(socket(&self.folder)) {
                Ok(stream) => return stream,
                Err(error) if Instant::now() > deadline => panic!("{error}: {}", self.target.said()),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }

    fn get(&self) -> i32 {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(b"GET /burst HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(head.contains(" 200 "), "{answer}");
        // The body may come in chunks, whose sizes are words of their own.
        body.split_whitespace().find_map(|word| word.parse().ok().filter(|&pid| pid > 99)).unwrap()
    }
}

fn socket(folder: &TempDir) -> String {
    folder.path().join("socket").display().to_string()
}

/// Resident bytes of a process.
pub(crate) fn rss_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Whether an idle process holds less than [`LOW_BYTES`] before long.
pub(crate) fn falls(pid: i32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if rss_bytes(pid) < LOW_BYTES {
            return true;
        }
        sleep(Duration::from_millis(100));
    }
    false
}

/// Whether an idle process holds more than [`HIGH_BYTES`] for several times as long as memory takes to
/// be given back.
pub(crate) fn stays(pid: i32) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if rss_bytes(pid) < HIGH_BYTES {
            return false;
        }
        sleep(Duration::from_millis(100));
    }
    true
}

/// Whether a process maps a file whose path ends so.
pub(crate) fn maps(pid: i32, name: &str) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().any(|line| line.ends_with(name))
}
