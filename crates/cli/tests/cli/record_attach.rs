//! `record --pid` and `--name`: real services, recorded while they run, and left again.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_procfs::Root;
use slackwater_testkit::{Program, agent_library};

use crate::namespaces::contained;
use crate::services::{Server, tree};
use crate::{Ran, python};

fn command(folder: &Path, words: &str) -> Command {
    let mut command = crate::slackwater(words);
    command.current_dir(folder).env("SLACKWATER_AGENT", agent_library().unwrap());
    command
}

fn run(folder: &Path, words: &str) -> Ran {
    command(folder, words).output().unwrap().into()
}

/// A recording under way.
fn begin(folder: &Path, words: &str) -> Child {
    command(folder, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ends it as Ctrl-C would.
fn end(child: Child) -> Ran {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Whether calls of the process lead through the agent.
fn is_recorded(pid: Pid) -> bool {
    // The memory that is shared with it is unmapped when it is left.
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.contains("memfd:slackwater_session")
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stats(folder: &Path) -> Value {
    serde_json::from_str(&run(folder, "stats --json it").out).unwrap()
}

/// The master waits where no safe point can be proven, having no other thread: the workers are recorded all
/// the same, and those that it starts later are attached to when they are seen.
#[test]
fn every_worker_of_gunicorn_is_recorded_and_new_ones_too() {
    let Some(server) = Server::gunicorn(&["--max-requests", "3"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let master = i64::from(server.target.pid().0);
    let workers =
        || -> BTreeSet<i64> { tree(server.target.pid()).into_iter().filter(|&one| one != master).collect() };
    let are_recorded = |workers: &BTreeSet<i64>| {
        workers.len() == 2 && workers.iter().all(|&one| is_recorded(Pid(i32::try_from(one).unwrap())))
    };
    let first = workers();
    let recording = begin(folder.path(), &format!("record --exact --name {} -o it", server.app));
    eventually("attaching", || are_recorded(&first));
    for _ in 0..20 {
        server.get();
    }
    eventually("two new workers", || are_recorded(&workers()) && workers().is_disjoint(&first));
    server.get();
    let ran = end(recording);
    assert!(ran.code == 0 || ran.code == 4 && ran.err.contains(&format!("process {master} ")), "{}", ran.err);
    assert!(ran.err.contains("attached to "), "{}", ran.err);
    // Workers that a master has forked which could not be left have its memory, and record nothing.
    let is_left = !ran.err.contains("could not be left");
    eventually("leaving", || {
        !is_left || !workers().iter().any(|&one| is_recorded(Pid(i32::try_from(one).unwrap())))
    });
    server.get();
    let recorded = stats(folder.path());
    let pids = recorded["processes"].as_array().unwrap().iter().map(|one| one["pid"].as_i64().unwrap());
    let pids: BTreeSet<i64> = pids.collect();
    assert!(first.is_subset(&pids) && pids.len() >= 4, "{recorded:#}");
}

#[test]
fn fault_09_a_service_in_a_container_is_recorded_from_the_host() {
    let Some(mut service) = contained() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), &format!("record --exact --pid {} -o it", service.pid));
    eventually("attaching", || is_recorded(service.pid));
    assert_eq!(service.target.ask("still there").unwrap(), "STILL THERE");
    let ran = end(recording);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let document = stats(folder.path());
    // By the number that the host knows it by.
    assert_eq!(document["processes"][0]["pid"], service.pid.0, "{document:#}");
    assert_eq!(document["processes"].as_array().unwrap().len(), 1, "{document:#}");
    assert_eq!(service.target.ask("still there").unwrap(), "STILL THERE");
}

#[test]
fn fault_28_a_recorder_that_is_killed_costs_the_service_nothing() {
    let source = "
import threading, time
def work():
    while True:
        bytes(100_000)
        time.sleep(0.001)
threading.Thread(target=work, daemon=True).start()
ready()
serve()
";
    let mut target = Program::python(python(), "works", source).unwrap().spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut recording = begin(folder.path(), &format!("record --exact --pid {} -o it", target.pid()));
    eventually("attaching", || is_recorded(target.pid()));
    std::thread::sleep(Duration::from_secs(1));
    recording.kill().unwrap();
    recording.wait().unwrap();
    assert_eq!(target.ask("still there").unwrap(), "");
    // What was written before can be read.
    assert!(!stats(folder.path())["processes"].as_array().unwrap().is_empty());
}

#[test]
fn what_cannot_be_recorded_is_said_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), "record --pid 1 --duration 1s -- true").code, 2);
    assert_eq!(run(folder.path(), "record --duration 1s").code, 2);
    let mut target = Program::python(python(), "serves", "ready()\nserve()\n").unwrap().spawn().unwrap();
    let words = format!("record --pid {} --python-allocators -o it", target.pid());
    assert_eq!(run(folder.path(), &words).code, 2);
    // Somebody else traces it, for longer than we look for a safe moment.
    target.signal(libc::SIGSTOP);
    let process = Root::host().process(target.pid()).unwrap();
    eventually("stopping", || process.stat().unwrap().state == slackwater_procfs::State::Stopped);
    let ran = run(folder.path(), &format!("record --pid {} -o it --duration 1s", target.pid()));
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("is stopped") && ran.err.contains("kill -CONT"), "{}", ran.err);
    assert!(!folder.path().join("it").exists());
    target.signal(libc::SIGCONT);
    assert_eq!(target.ask("still there").unwrap(), "");
}

#[test]
fn what_was_there_before_is_in_the_capture_and_said() {
    let source = "
kept = [bytes(5_000) for _ in range(10_000)]
ready()
for _ in commands(): reply(len(kept))
";
    let target = Program::python(python(), "kept", source).unwrap().spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), &format!("record --only --pid {} -o it", target.pid()));
    let before = |document: &Value| -> u64 {
        let live = document["processes"][0]["before"].as_array().cloned().unwrap_or_default();
        let live = live.iter().filter(|one| one["class"].as_str().unwrap().starts_with("live_"));
        live.map(|one| one["bytes"].as_u64().unwrap()).sum()
    };
    // The capture can be read while it grows.
    eventually("the opening look", || folder.path().join("it").exists() && before(&stats(folder.path())) > 0);
    let ran = end(recording);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let live = before(&stats(folder.path()));
    assert!((50_000_000..70_000_000).contains(&live), "{live}");
    let table = run(folder.path(), "table --leaks it").out;
    assert!(table.contains("(before the recording) "), "{table}");
}
