//! `run --record`: recorded beside the service, and nothing of the service changed by it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde_json::Value;
use slackwater_testkit::agent_library;

use super::run_on;
use crate::python;

/// Keeps blocks in itself, in a forked child and in a Python that it starts.
const SERVICE: &str = "
import os, subprocess, sys
def keep(n):
    return [bytes(50_000) for _ in range(n)]
def objects(n):
    return [bytes(60) for _ in range(n)]
if len(sys.argv) > 1:
    started = keep(200)
    os._exit(0)
kept = keep(400)
small = objects(200_000)
if os.fork() == 0:
    forked = keep(300)
    os._exit(0)
os.wait()
subprocess.run([sys.executable, '-S', '-c', os.environ['SOURCE'], 'again'], check=True)
print(os.getpid(), os.environ['SLACKWATER_RECORD'].split('/')[2], flush=True)
sys.stdin.readline()
os._exit(42)
";

fn start(folder: &Path) -> std::process::Child {
    let python = python().path().to_str().unwrap();
    run_on("-q --record=it", &[python, "-S", "-c", SERVICE])
        .current_dir(folder)
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .env("SOURCE", SERVICE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The pids of the service and of its recorder.
fn pids(service: &mut std::process::Child) -> (i32, i32) {
    let mut line = String::new();
    let mut out = std::io::BufReader::new(service.stdout.as_mut().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

/// Waits until nobody records into the file.
fn is_ended(capture: &Path) {
    let end = Instant::now() + Duration::from_secs(30);
    let file = File::open(capture).unwrap();
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
        assert!(Instant::now() < end, "the recorder outlives the service");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn table(capture: &Path) -> Value {
    let mut table = Command::new(env!("CARGO_BIN_EXE_slackwater"));
    let output = table.args(["table", "--leaks", "--json"]).arg(capture).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_service_and_all_that_it_starts_are_recorded_on_our_allocator() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path());
    let own = service.id() as i32;
    let (pid, recorder) = pids(&mut service);
    assert_eq!(pid, own, "the service is not the process that was started");
    // Nobody's child: a service that waits for its children does not wait for the recorder.
    let status = std::fs::read_to_string(format!("/proc/{recorder}/status")).unwrap();
    assert!(!status.contains(&format!("PPid:\t{pid}\n")), "{status}");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(maps.contains("libslackwater_alloc.so") && maps.contains("libslackwater_agent.so"));
    let verified = crate::run(&format!("verify --only --pid {pid} --expect slackwater"));
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    drop(service.stdin.take());
    assert_eq!(service.wait().unwrap().code(), Some(42));
    let capture = folder.path().join("it");
    is_ended(&capture);
    let document = table(&capture);
    assert_eq!(document["gaps"], serde_json::json!([]));
    let live_of = |function: &str| -> f64 {
        let is_in = |frame: &Value| frame["function"].as_str().unwrap().starts_with(function);
        let stacks = document["stacks"].as_array().unwrap().iter();
        let stacks = stacks.filter(|stack| stack["frames"].as_array().unwrap().iter().any(is_in));
        stacks.map(|stack| stack["live"]["bytes"].as_f64().unwrap()).sum()
    };
    // 900 blocks of 50 kB, as some ninety samples tell them. The mappings that the allocator makes for them
    // are not counted beside them.
    assert!((27e6..68e6).contains(&live_of("keep")), "{}", live_of("keep"));
    // 200000 objects of 93 bytes, which are no blocks of their own without the recording.
    assert!((8e6..35e6).contains(&live_of("objects")), "{}", live_of("objects"));

    // A second start has a file of its own.
    let mut again = start(folder.path());
    pids(&mut again);
    drop(again.stdin.take());
    again.wait().unwrap();
    is_ended(&folder.path().join("it.2"));
}

#[test]
fn what_is_recorded_beside_a_service_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let source = "
import os, time
end = time.monotonic() + 3.5
while time.monotonic() < end:
    bytes(3_000_000)
    time.sleep(0.01)
os._exit(0)
";
    let python = python().path().to_str().unwrap();
    let run = |words: &str| {
        let status = run_on(words, &[python, "-S", "-c", source])
            .current_dir(folder.path())
            .env("SLACKWATER_AGENT", agent_library().unwrap())
            .status();
        assert_eq!(status.unwrap().code(), Some(0));
    };
    run("-q --record=it --rotate 1s --keep 2");
    let files = || {
        let all = std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().path());
        all.collect::<std::collections::BTreeSet<_>>()
    };
    files().iter().for_each(|file| is_ended(file));
    assert_eq!(files().len(), 2, "{:?}", files());
    assert!(!folder.path().join("it").exists());
    for file in files() {
        assert_eq!(table(&file)["gaps"], serde_json::json!([]));
        std::fs::remove_file(file).unwrap();
    }
    run("-q --record=it --max-size 1MiB");
    is_ended(&folder.path().join("it"));
    assert_eq!(files().len(), 1, "{:?}", files());
    // Only a recording has files.
    let refused = run_on("--rotate 1h", &["true"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--record"));
}

#[test]
fn fault_03_a_killed_recorder_costs_the_service_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path());
    let (_, recorder) = pids(&mut service);
    let recorder = rustix::process::Pid::from_raw(recorder).unwrap();
    rustix::process::kill_process(recorder, rustix::process::Signal::KILL).unwrap();
    is_ended(&folder.path().join("it"));
    drop(service.stdin.take());
    assert_eq!(service.wait().unwrap().code(), Some(42));
    let gaps = table(&folder.path().join("it"))["gaps"].to_string();
    assert!(gaps.contains("cut off"), "{gaps}");
}

#[test]
fn what_cannot_be_recorded_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run_on("-q --record=no-such-folder/it", &["touch", "started"]);
    let output = run.current_dir(&folder).env("SLACKWATER_AGENT", agent_library().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("started").exists());
}
