//! `record --pid` and `--name`: real services, recorded while they run, and left again.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
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

pub(crate) fn run(folder: &Path, words: &str) -> Ran {
    command(folder, words).output().unwrap().into()
}

/// A recording under way.
pub(crate) fn begin(folder: &Path, words: &str) -> Child {
    command(folder, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ends it as Ctrl-C would.
pub(crate) fn end(child: Child) -> Ran {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Whether calls of the process lead through the agent.
pub(crate) fn is_recorded(pid: Pid) -> bool {
    // The memory that is shared with it is unmapped when it is left.
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.contains("memfd:slackwater_session")
}

pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn stats(folder: &Path) -> Value {
    serde_json::from_str(&run(folder, "stats --json it").out).unwrap()
}

/// Of the master's one thread all that is left to see is a function without a name, in which it waits: it is
/// recorded like the workers, and those that it forks later are born with the agent.
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
    eventually("attaching", || are_recorded(&first) && is_recorded(server.target.pid()));
    for _ in 0..20 {
        server.get();
    }
    eventually("two new workers", || are_recorded(&workers()) && workers().is_disjoint(&first));
    server.get();
    let ran = end(recording);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("attached to 3 processes"), "{}", ran.err);
    assert!(!ran.err.contains("could not be left"), "{}", ran.err);
    let anybody = || workers().into_iter().chain([master]);
    eventually("leaving", || !anybody().any(|one| is_recorded(Pid(i32::try_from(one).unwrap()))));
    server.get();
    let recorded = stats(folder.path());
    let pids = recorded["processes"].as_array().unwrap().iter().map(|one| one["pid"].as_i64().unwrap());
    let pids: BTreeSet<i64> = pids.collect();
    assert!(pids.contains(&master) && first.is_subset(&pids) && pids.len() >= 5, "{recorded:#}");
    // What the master held before is in those that it forked later too. The first ones may have ended unseen.
    let processes = recorded["processes"].as_array().unwrap();
    let of_master = processes.iter().find(|one| one["pid"] == master).unwrap();
    assert!(!of_master["before"].as_array().unwrap().is_empty(), "{recorded:#}");
    for one in processes {
        let holder = &one["before_generation"];
        assert_eq!(holder, &one["parent_generation"], "{recorded:#}");
        assert!(holder.is_null() || *holder == of_master["generation"], "{recorded:#}");
    }
    assert!(processes.iter().any(|one| !one["before_generation"].is_null()), "{recorded:#}");
    let table = run(folder.path(), "table --leaks it").out;
    assert!(table.contains("what it forked later began with"), "{table}");
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

/// While it cannot be entered a process is not waited for: it records nothing any more all the same.
#[test]
fn a_process_that_cannot_be_left_is_named_and_records_nothing() {
    // The lock was taken by a thread that is gone, and nothing is known of this wait for it.
    let source = "
import ctypes, threading, time
libc = ctypes.CDLL(None)
lock = ctypes.create_string_buffer(64)
taking = threading.Thread(target=libc.pthread_rwlock_wrlock, args=(lock,))
taking.start()
taking.join()
ready()
for _ in commands():
    reply('waits')
    libc.pthread_rwlock_timedrdlock(lock, (ctypes.c_long * 2)(int(time.time()) + 3600, 0))
";
    let mut target = Program::python(python(), "waits", source).unwrap().spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), &format!("record --only --pid {} -o it", target.pid()));
    eventually("attaching", || is_recorded(target.pid()));
    assert_eq!(target.ask("wait").unwrap(), "waits");
    let process = Root::host().process(target.pid()).unwrap();
    eventually("waiting", || {
        let call = process.task_syscall(target.pid().main_thread());
        matches!(call, Ok(slackwater_procfs::Syscall::Call { number, .. }) if number == libc::SYS_futex as u64)
    });
    let ran = end(recording);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let named = format!("process {} could not be left", target.pid());
    assert!(ran.err.contains(&named) && ran.err.contains("which does nothing any more"), "{}", ran.err);
    assert!(process.is_same());
    assert_eq!(stats(folder.path())["processes"].as_array().unwrap().len(), 1);
}

/// The agent's code, what it shares, and its own tables, which have no name, are told apart from the
/// program's memory.
#[test]
fn the_agents_memory_is_a_class_of_its_own() {
    let source = "
kept = []
ready()
for _ in commands():
    for n in range(1000): kept.append(bytes(100_000))
    reply('kept')
";
    let mut target = Program::python(python(), "keeps", source).unwrap().spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pid = target.pid();
    let own = || {
        let document = crate::json(&format!("diagnose --only --pid {pid} --json")).remove(0);
        document["processes"][0]["ledger"]["own"].as_u64().unwrap()
    };
    assert_eq!(own(), 0);
    let recording = begin(folder.path(), &format!("record --exact --only --pid {pid} -o it"));
    eventually("attaching", || is_recorded(pid));
    assert_eq!(target.ask("keep").unwrap(), "kept");
    let (named, wiped) = memory_of_the_agent(pid);
    assert!(named >= 16 << 10 && wiped >= 16 << 10, "{named} {wiped}");
    assert_eq!(own(), named + wiped);
    assert_eq!(end(recording).code, 0);
}

/// Resident bytes by the kernel's account: of mappings that have our name, and of those that a child finds empty
/// (`wf`), which nobody else makes here.
fn memory_of_the_agent(pid: Pid) -> (u64, u64) {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut named, mut wiped) = (0, 0);
    let (mut is_named, mut rss_bytes) = (false, 0);
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "Rss:" => rss_bytes = words[1].parse::<u64>().unwrap() << 10,
            "VmFlags:" if words.contains(&"wf") => wiped += rss_bytes,
            "VmFlags:" if is_named => named += rss_bytes,
            key if key.ends_with(':') => {}
            _ => is_named = words.get(5).is_some_and(|name| name.contains("slackwater")),
        }
    }
    (named, wiped)
}

#[test]
fn what_cannot_be_recorded_is_said_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), "record --pid 1 --duration 1s -- true").code, 2);
    assert_eq!(run(folder.path(), "record --duration 1s").code, 2);
    let mut target = Program::python(python(), "serves", "ready()\nserve()\n").unwrap().spawn().unwrap();
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

/// The agent is a file without a name in the service, which an ordinary user cannot open there.
#[test]
fn fault_07_native_stacks_of_an_ordinary_users_own_service() {
    const NOBODY: u32 = 65534;
    let may_attach = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    if !rustix::process::geteuid().is_root() || may_attach.is_ok_and(|scope| scope.trim() != "0") {
        eprintln!("not tested: only root can become another user, who must be allowed to attach");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // They may lie below a folder that only root can enter.
    let copy = |from: &Path, name: &str| {
        let path = folder.path().join(name);
        std::fs::copy(from, &path).unwrap();
        path
    };
    let slackwater = copy(Path::new(crate::slackwater("").get_program()), "slackwater");
    let agent = copy(&agent_library().unwrap(), "agent.so");
    let program = "while True: bytes(100000)";
    let mut service =
        Command::new("/usr/bin/python3").args(["-c", program]).uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let words = format!("record --native --pid {} --duration 2s -o it", service.id());
    let mut recorder = Command::new(slackwater);
    recorder.args(words.split(' ')).current_dir(folder.path()).env("SLACKWATER_AGENT", agent);
    let ran = Ran::from(recorder.uid(NOBODY).gid(NOBODY).output().unwrap());
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let stacks = run(folder.path(), "export --format collapsed --allocated -o - it").out;
    let is_whole = |stack: &&str| {
        stack.contains("Py_BytesMain") && stack.contains("PyObject_") && !stack.contains("left out")
    };
    let n_whole = stacks.lines().filter(is_whole).count();
    assert!(n_whole > 0, "{stacks}");
}
