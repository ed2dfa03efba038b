//! Forked workers give back what a burst left, as their parent does: the reason for all of this.
//!
//! Each worker holds 60 MiB of blocks for a moment, keeps one in two hundred, and waits.

use std::process::Command;
use std::time::Duration;

use slackwater_base::Pid;
use slackwater_testkit::{Program, Target, wheel};

use crate::preload::{MIB, falls_below, is_governed, library, python, resident_bytes, under};

/// A burst of the process that calls it, and the greeting of a worker.
const BURST: &str = r#"
import os, sys, threading
kept = []
all_hold = threading.Barrier(2)
def burst():
    blocks = [bytes(3000 + index % 512) for index in range(9_000)]
    all_hold.wait()
    kept.append(blocks[::200])
def work():
    threads = [threading.Thread(target=burst) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os.write(1, b"worker %d\n" % os.getpid())
"#;

/// A Python process without its heap, and the survivors with room to spare.
const FLOOR: u64 = 42 * MIB;

fn worker(line: String) -> Pid {
    Pid(line.strip_prefix("worker ").unwrap_or_else(|| panic!("{line}")).parse().unwrap())
}

fn gives_back(pid: Pid, kind: &str, floor: u64) {
    let within = Duration::from_secs(5);
    let after = falls_below(pid, floor, within);
    assert_eq!(after, Ok(()), "{kind}: keeps {} MB", after.unwrap_err() / 1_000_000);
    assert!(is_governed(pid), "{kind}");
}

/// A Python program whose workers greet, each after its burst.
fn program(name: &str, main: &str) -> Program {
    under(&Program::python(python(), name, &format!("{BURST}{main}")).unwrap())
}

fn check(kind: &str, n_workers: usize, main: &str) {
    let mut target = program(kind, main).spawn().unwrap();
    let workers: Vec<_> = (0..n_workers).map(|_| worker(target.answer("a worker").unwrap())).collect();
    workers.into_iter().for_each(|pid| gives_back(pid, kind, FLOOR));
}

#[test]
fn fault_18_and_25_forked_children_give_back_as_their_parent_does() {
    check(
        "fork",
        3,
        r#"
ready()
for _ in range(2):
    if os.fork() == 0:
        work()
        serve()
        os._exit(0)
work()
serve()
"#,
    );
}

#[test]
fn a_forked_child_of_a_large_parent_gives_back_too() {
    check(
        "fork_of_a_large_one",
        1,
        r#"
large = [bytes(3000 + index % 512) for index in range(40_000)]
ready()
if os.fork() == 0:
    del large
    work()
    serve()
    os._exit(0)
serve()
"#,
    );
}

#[test]
fn without_the_governor_a_worker_keeps_it() {
    let main = "ready()\nwork()\nserve()";
    let mut target = program("ungoverned", main).env("SLACKWATER_GOVERNOR", "off").spawn().unwrap();
    let pid = worker(target.answer("the worker").unwrap());
    assert!(falls_below(pid, FLOOR, Duration::from_secs(2)).is_err(), "the control: {}", resident_bytes(pid));
    assert!(!is_governed(pid));
}

#[test]
fn fault_18_workers_of_multiprocessing_give_back() {
    for method in ["fork", "forkserver", "spawn"] {
        // The pool's module must be importable by children that are started anew.
        let main = format!(
            r#"
import multiprocessing
if __name__ == "__main__":
    ready()
    context = multiprocessing.get_context("{method}")
    workers = [context.Process(target=work_and_wait, daemon=True) for _ in range(2)]
    for worker in workers: worker.start()
    serve()
"#
        );
        let main = format!("def work_and_wait():\n    import time\n    work()\n    time.sleep(600)\n{main}");
        check(&format!("multiprocessing_{method}"), 2, &main);
    }
}

/// A server of the wheels' environment, started in `folder`.
fn server(name: &str, folder: &tempfile::TempDir, words: &[&str]) -> Option<Target> {
    let mut program = Program::command(&wheel(name)?)
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LD_PRELOAD", library());
    for word in words {
        program = program.arg(word);
    }
    Some(program.spawn().unwrap())
}

#[test]
fn fault_18_workers_of_gunicorn_give_back_with_and_without_preloading() {
    for preload in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let app =
            format!("{BURST}\ndef app(environ, respond):\n    respond('200 OK', [])\n    return [b'']\n");
        std::fs::write(folder.path().join("burst_app.py"), app).unwrap();
        let hooks = folder.path().join("hooks.py");
        std::fs::write(&hooks, HOOKS).unwrap();
        let socket = format!("unix:{}", folder.path().join("socket").display());
        let hooks = hooks.display().to_string();
        let mut words = vec![
            "--workers",
            "2",
            "--threads",
            "2",
            "--no-control-socket",
            "--config",
            &hooks,
            "--bind",
            &socket,
        ];
        words.extend(preload.then_some("--preload"));
        words.push("burst_app:app");
        let Some(mut target) = server("gunicorn", &folder, &words) else { return };
        let kind = format!("gunicorn, preload {preload}");
        (0..2).for_each(|_| gives_back(worker(target.answer("a worker").unwrap()), &kind, FLOOR));
    }
}

const HOOKS: &str = r#"
import os
def when_ready(server):
    os.write(1, b"ready\n")
def post_worker_init(worker):
    import burst_app
    burst_app.work()
"#;

#[test]
fn fault_18_prefork_workers_of_celery_give_back() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = format!(
        r#"{BURST}
import celery
from celery.signals import worker_process_init, worker_ready
app = celery.Celery("burst_tasks", broker="memory://")
@worker_ready.connect
def greet(**_):
    os.write(1, b"ready\n")
@worker_process_init.connect
def begin(**_):
    # Its own thread, as a task would be after the worker's start.
    def later():
        greeted.wait(1)
        work()
    greeted = threading.Event()
    threading.Thread(target=later, daemon=True).start()
"#
    );
    std::fs::write(folder.path().join("burst_tasks.py"), tasks).unwrap();
    let words = [
        "-A",
        "burst_tasks",
        "worker",
        "-P",
        "prefork",
        "-c",
        "2",
        "--loglevel",
        "ERROR",
        "--without-gossip",
        "--without-mingle",
    ];
    let Some(mut target) = server("celery", &folder, &words) else { return };
    let mut workers = Vec::new();
    while workers.len() < 2 {
        let line = target.answer("a worker").unwrap();
        if line.starts_with("worker ") {
            workers.push(worker(line));
        }
    }
    // Celery itself takes some 45 MB.
    workers.into_iter().for_each(|pid| gives_back(pid, "celery", FLOOR + 30 * MIB));
}

#[test]
fn fault_18_subprocesses_and_their_shells_work() {
    let source = r#"
import subprocess, threading
def run(n):
    for i in range(20):
        assert subprocess.run(["/bin/echo", str(i)], capture_output=True).stdout == b"%d\n" % i
        assert subprocess.run(f"echo {i} | cat", shell=True, capture_output=True).stdout == b"%d\n" % i
threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("all ran")
"#;
    for interpreter in slackwater_testkit::interpreters().iter().filter(|one| one.root().is_none()) {
        let mut command: Command = interpreter.command();
        let (text, diagnostics, _) =
            crate::preload::output(command.args(["-c", source]).env("LD_PRELOAD", library()));
        assert_eq!(text, "all ran\n", "{interpreter}: {diagnostics}");
    }
}

#[test]
fn fault_18_a_process_ends_with_its_last_thread_whatever_the_governor_does() {
    // The child's only thread is not Python's main one, and ends without a word.
    const SOURCE: &str = r#"
import os, threading
def fork():
    child = os.fork()
    if child: print(os.waitpid(child, 0)[1], flush=True)
thread = threading.Thread(target=fork)
thread.start()
thread.join()
"#;
    let program = under(&Program::python(python(), "last_thread", SOURCE).unwrap());
    let mut command = Command::new("timeout");
    command.arg("20").arg(python().path()).args(program.to_command().get_args());
    command.env("LD_PRELOAD", library());
    let (said, diagnostics, code) = crate::preload::output(&mut command);
    assert_eq!((said.trim(), code), ("0", Some(0)), "{diagnostics}");
}
