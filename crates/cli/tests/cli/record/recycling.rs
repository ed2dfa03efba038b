//! Workers that come and go all the time: every one of them is in the capture, with all that it did.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use slackwater_testkit::{agent_library, rounds};

use super::slackwater;
use crate::repository;

/// Each request keeps a block for as long as its worker lives; each worker leaves its pid in a file.
const APP: &str = "
import os
kept = []
def keep():
    kept.append(bytes(100_000))
def app(environ, start_response):
    keep()
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";
const HOOKS: &str = "
import os
def post_worker_init(worker):
    pids = os.open('pids', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(pids, b'%d\\n' % os.getpid())
    os.close(pids)
";

fn pids(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn get(folder: &Path) {
    let mut stream = UnixStream::connect(folder.join("socket")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

#[test]
fn fault_19_four_workers_of_gunicorn_recycled_every_50_requests() {
    let gunicorn = repository().join("demo/.venv/bin/gunicorn");
    if !gunicorn.exists() {
        eprintln!("not tested: no gunicorn, which `make setup` installs in demo/.venv");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keeps.py"), APP).unwrap();
    std::fs::write(folder.path().join("hooks.py"), HOOKS).unwrap();
    let mut recording = Command::new(env!("CARGO_BIN_EXE_slackwater"))
        .current_dir(folder.path())
        .args(["record", "--exact", "-o", "it", "--"])
        .arg(gunicorn)
        .args(["--workers", "4", "--max-requests", "50", "--no-control-socket", "--config", "hooks.py"])
        .args(["--bind", "unix:socket", "keeps:app"])
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while pids(folder.path()).len() < 4 {
        assert!(Instant::now() < end, "gunicorn does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut n_requests = 0;
    for _ in rounds(600, 600_000) {
        get(folder.path());
        n_requests += 1;
    }
    // The recorder hands it on.
    kill_process(Pid::from_child(&recording), Signal::TERM).unwrap();
    assert_eq!(recording.wait().unwrap().code(), Some(0));

    let (code, out, said) = slackwater(folder.path(), &["stats", "--json", "it"]);
    assert_eq!(code, 0, "{said}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["gaps"], serde_json::json!([]));
    let mut n_of_pid = BTreeMap::<u64, usize>::new();
    for process in document["processes"].as_array().unwrap() {
        *n_of_pid.entry(process["pid"].as_u64().unwrap()).or_default() += 1;
        assert_eq!((&process["n_lost"], &process["degraded"]), (&0.into(), &false.into()), "{process}");
    }
    let started = pids(folder.path());
    assert!(started.len() >= 4 + n_requests / 50 - 4, "{} workers only", started.len());
    for pid in &started {
        let n_started = started.iter().filter(|one| *one == pid).count();
        assert!(n_of_pid.get(pid).is_some_and(|n| *n >= n_started), "worker {pid} is missing");
    }
    let (_, out, _) = slackwater(folder.path(), &["table", "--json", "it"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    let is_keep =
        |stack: &&Value| stack["frames"].as_array().unwrap().iter().any(|frame| frame["function"] == "keep");
    let stacks = document["stacks"].as_array().unwrap().iter().filter(is_keep);
    let large = stacks.filter(|stack| stack["allocated"]["bytes"].as_u64().unwrap() > 100_000);
    let bytes: u64 = large.map(|stack| stack["allocated"]["bytes"].as_u64().unwrap()).sum();
    let expected = n_requests as u64 * 100_033;
    // The list that holds them grows, too.
    assert!((expected..expected + n_requests as u64 * 1000).contains(&bytes), "{bytes} for {n_requests}");
}
