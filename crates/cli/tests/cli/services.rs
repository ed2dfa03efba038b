//! Real servers: every worker found from everywhere, shared pages counted once, workers that go away.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_procfs::Root;
use slackwater_testkit::{Program, Target};
use tempfile::TempDir;

use crate::diagnose::validate;
use crate::{json, python, repository, slackwater};

const MIB: u64 = 1 << 20;

/// The app under WSGI and ASGI. Each worker frees 40 MiB when it starts, then says `ready` and its pid.
const APP: &str = r#"
import os, sys, threading

SHARED_MIB = int(os.environ.get("SHARED_MIB", "0"))
shared = bytearray(b"x") * (SHARED_MIB << 20)
kept = []

def burst():
    blocks = [bytes(2000 + index % 512) for index in range(10_000)]
    kept.append(blocks[::1000])

def worker_is_up(*_):
    threads = [threading.Thread(target=burst) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os.write(1, b"ready %d\n" % os.getpid())

def wsgi(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"%d" % os.getpid()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        worker_is_up()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
"#;

/// A server with two workers, as its user would have started it.
pub(crate) struct Server {
    pub(crate) target: Target,
    /// What no other service on this machine is called.
    pub(crate) app: String,
    folder: TempDir,
}

impl Server {
    pub(crate) fn gunicorn(more: &[&str]) -> Option<Self> {
        let folder = folder();
        // The app must not be imported by its hooks: whether the master does that is what preloading is.
        let hooks = folder.path().join("hooks.py");
        let import =
            format!("def post_worker_init(worker):\n    import {0}; {0}.worker_is_up()\n", module(&folder));
        std::fs::write(&hooks, import).unwrap();
        let mut program = server("gunicorn", &folder)?;
        for word in ["--worker-class", "gthread", "--threads", "2", "--workers", "2", "--no-control-socket"] {
            program = program.arg(word);
        }
        program = program.arg("--config").arg(hooks);
        program = program.arg("--bind").arg(format!("unix:{}", socket(&folder).display()));
        for word in more {
            program = program.arg(word);
        }
        Some(Self::start(&program, "wsgi", folder))
    }

    fn uvicorn() -> Option<Self> {
        let folder = folder();
        let mut program = server("uvicorn", &folder)?;
        for word in ["--workers", "2", "--log-level", "warning", "--lifespan", "on", "--uds"] {
            program = program.arg(word);
        }
        program = program.arg(socket(&folder));
        Some(Self::start(&program, "asgi", folder))
    }

    fn start(program: &Program, attribute: &str, folder: TempDir) -> Self {
        let app = format!("{}:{attribute}", module(&folder));
        let mut target = program.clone().arg(&app).spawn().unwrap();
        worker(target.answer("the second worker").unwrap());
        Self { target, app, folder }
    }

    /// The body of one answer: the pid of the worker that gave it.
    pub(crate) fn get(&self) -> i32 {
        let mut stream = UnixStream::connect(socket(&self.folder)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(head.contains(" 200 "), "{answer}");
        // The body may come in chunks, whose sizes are words of their own.
        body.split_whitespace().find_map(|word| word.parse().ok().filter(|&pid| pid > 9)).unwrap()
    }

    fn diagnose(&self) -> Value {
        json(&format!("diagnose --pid {} --json", self.target.pid())).remove(0)
    }
}

fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("sw").tempdir().unwrap();
    std::fs::write(folder.path().join(module(&folder)).with_extension("py"), APP).unwrap();
    folder
}

/// A module's name that no other test has, of this run or of another.
fn module(folder: &TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_string_lossy();
    format!("shop_{}", name.trim_start_matches('.'))
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}

/// One of the servers that the demo installs.
fn server(name: &str, folder: &TempDir) -> Option<Program> {
    let path = repository().join("demo/.venv/bin").join(name);
    if !path.exists() {
        eprintln!("not tested: no {name}, which `make setup` installs in demo/.venv");
        return None;
    }
    Some(Program::command(&path).env("PYTHONPATH", folder.path()).env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn worker(line: String) -> i32 {
    line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line}")).parse().unwrap()
}

/// The process and all below it, as the kernel has them.
pub(crate) fn tree(pid: Pid) -> BTreeSet<i64> {
    let root = Root::host();
    let parent = |pid| root.process(pid).and_then(|process| process.stat()).map_or(0, |stat| stat.ppid);
    let mut tree = BTreeSet::from([i64::from(pid.0)]);
    let mut known = 0;
    while known != tree.len() {
        known = tree.len();
        let pids = root.pids().unwrap();
        tree.extend(
            pids.into_iter()
                .filter(|&pid| tree.contains(&i64::from(parent(pid))))
                .map(|pid| i64::from(pid.0))
                .collect::<Vec<_>>(),
        );
    }
    tree
}

fn pids(document: &Value) -> BTreeSet<i64> {
    processes(document).map(|process| process["pid"].as_i64().unwrap()).collect()
}

fn processes(document: &Value) -> impl Iterator<Item = &Value> {
    document["processes"].as_array().unwrap().iter()
}

/// Each member's role, sorted.
fn roles(document: &Value) -> Vec<&str> {
    let mut roles: Vec<&str> = processes(document).map(|process| process["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    roles
}

/// From every process of the tree, and by its name, the same service is found.
#[track_caller]
fn assert_found(root: Pid, name: &str, expected_roles: &[&str]) {
    let expected = tree(root);
    let ways = expected.iter().map(|pid| format!("--pid {pid}")).chain([format!("--name {name}")]);
    for way in ways {
        let document = json(&format!("diagnose {way} --json")).remove(0);
        validate(&document);
        assert_eq!(pids(&document), expected, "{way}: {document:#}");
        assert_eq!(roles(&document), expected_roles, "{way}: {document:#}");
        let master = processes(&document).find(|process| process["role"] == "master").unwrap();
        assert_eq!(master["pid"], i64::from(root.0), "{way}: {document:#}");
        for process in processes(&document) {
            assert_eq!(process["allocator"], "glibc", "{process:#}");
            assert!(process["gaps"].as_array().unwrap().is_empty(), "{process:#}");
            assert!(process["ledger"]["unexplained"].as_u64().unwrap() <= 2 * MIB, "{process:#}");
        }
    }
}

#[track_caller]
fn assert_python(document: &Value, version: &str) {
    for process in processes(document) {
        let found = process["python"].as_str().unwrap();
        assert!(version.starts_with(found), "{found} is not {version}: {process:#}");
    }
}

/// What the virtual environment's interpreter says of itself.
fn version_of(python: &Path) -> String {
    let words = ["-c", "import platform; print(platform.python_version())"];
    let output = std::process::Command::new(python).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Every worker gives back what was predicted, and both still answer.
fn assert_trims(server: &Server) {
    let rows = json(&format!("trim --pid {} --json", server.target.pid()));
    let workers: Vec<&Value> = rows.iter().filter(|row| row["role"] == "worker").collect();
    assert_eq!(workers.len(), 2, "{rows:#?}");
    for row in &workers {
        assert_eq!(row["outcome"], "trimmed", "{row:#}");
        crate::trim::assert_as_predicted(row);
        assert!(row["released_bytes"].as_u64().unwrap() > 20 * MIB, "{row:#}");
    }
    let mut silent: BTreeSet<i32> = workers.iter().map(|row| row["pid"].as_i64().unwrap() as i32).collect();
    // Which worker takes a connection is the kernel's choice.
    for _ in 0..500 {
        silent.remove(&server.get());
        if silent.is_empty() {
            return;
        }
    }
    panic!("no answer from {silent:?}");
}

#[test]
fn gunicorn_with_threads_is_found_and_trimmed() {
    let Some(server) = Server::gunicorn(&[]) else { return };
    assert_found(server.target.pid(), &server.app, &["master", "worker", "worker"]);
    let document = server.diagnose();
    assert_python(&document, &version_of(&repository().join("demo/.venv/bin/python")));
    assert_eq!(document["service"]["name"], "gunicorn");
    assert_eq!(document["verdict"], "retention", "{document:#}");
    assert_trims(&server);
}

#[test]
fn uvicorn_with_workers_is_found_and_trimmed() {
    let Some(server) = Server::uvicorn() else { return };
    assert_found(server.target.pid(), &server.app, &["master", "other", "worker", "worker"]);
    let document = server.diagnose();
    assert_python(&document, &version_of(&repository().join("demo/.venv/bin/python")));
    assert_eq!(document["service"]["name"], "uvicorn");
    assert_trims(&server);
}

/// Anonymous memory of a whole service by the kernel's proportional shares. Nobody outside the
/// service shares it, so the shares add up to each page once.
fn anonymous_bytes(tree: &BTreeSet<i64>) -> u64 {
    let of = |pid| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    tree.iter().map(of).sum()
}

#[test]
fn what_a_preloaded_app_shares_counts_once() {
    const SHARED: u64 = 192 * MIB;
    // The environment is the server's: an app that is loaded before the fork makes its data there.
    let Some(server) = Server::gunicorn(&["--preload", "--env", "SHARED_MIB=192"]) else { return };
    assert_found(server.target.pid(), &server.app, &["master", "worker", "worker"]);
    let document = server.diagnose();
    let service = &document["service"];
    let figure = |value: &Value| value.as_u64().unwrap();
    let rss = figure(&service["rss_bytes"]);
    let sum: u64 = processes(&document).map(|process| figure(&process["rss_bytes"])).sum();
    // Three processes map it; two of them do so for nothing.
    assert!(sum - rss >= 2 * SHARED, "{sum} in the processes, {rss} in the service");

    let anonymous = rss - figure(&service["ledger"]["file"]) - figure(&service["ledger"]["shmem"]);
    let expected = anonymous_bytes(&pids(&document));
    // Written pages of files are anonymous to the kernel, and the file's to us.
    assert!(anonymous.abs_diff(expected) <= expected * 3 / 100, "{anonymous}, by shares {expected}");
    assert_eq!(anonymous_bytes(&pids(&document)), expected, "looking has undone sharing");
    assert_trims(&server);
}

#[test]
fn fault_06_a_worker_that_is_killed_while_it_is_watched() {
    let Some(mut server) = Server::gunicorn(&[]) else { return };
    let before = pids(&server.diagnose());
    let victim = worker(format!("ready {}", server.target.greeting()));
    let mut watch = slackwater(&format!("diagnose --pid {} --for 4s --json", server.target.pid()));
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Somewhere in the watch, after some looks; the exact time is no matter.
    std::thread::sleep(Duration::from_secs(1));
    let raw = rustix::process::Pid::from_raw(victim).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    let replacement = i64::from(worker(server.target.answer("another worker").unwrap()));

    let ran = crate::Ran::from(watch.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    validate(&document);
    let mut expected = before;
    assert!(expected.remove(&i64::from(victim)) && expected.insert(replacement));
    assert_eq!(pids(&document), expected, "{document:#}");
    assert_eq!(roles(&document), ["master", "worker", "worker"]);
}

/// A pool of two workers by each of multiprocessing's methods. The words are its script's arguments.
const POOL: &str = r#"
import multiprocessing, os, sys, time

def hold(barrier):
    barrier.wait()
    time.sleep(1000)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    barrier = context.Barrier(3)
    workers = [context.Process(target=hold, args=(barrier,)) for _ in range(2)]
    for worker in workers: worker.start()
    barrier.wait()
    os.write(1, b"ready\n")
    sys.stdin.read()
    for worker in workers: worker.kill()
"#;

fn assert_pool_found(method: &str, roles: &[&str]) {
    let folder = folder();
    let name = format!("pool_{}", module(&folder));
    let script = folder.path().join(&name).with_extension("py");
    std::fs::write(&script, POOL).unwrap();
    let target = Program::command(python().path()).arg(&script).arg(method).spawn().unwrap();
    assert_found(target.pid(), &name, roles);
    let document = json(&format!("diagnose --pid {} --json", target.pid())).remove(0);
    assert_python(&document, &python().version().to_string());
}

#[test]
fn a_pool_that_forks_is_found() {
    assert_pool_found("fork", &["master", "worker", "worker"]);
}

#[test]
fn a_pool_that_spawns_is_found() {
    assert_pool_found("spawn", &["master", "other", "worker", "worker"]);
}

#[test]
fn a_pool_with_a_fork_server_is_found() {
    assert_pool_found("forkserver", &["master", "other", "other", "worker", "worker"]);
}
