//! `--max-size`: a capture that never becomes larger, and loses no total.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use slackwater_testkit::{agent_library, rounds};

use super::asked::check_total;
use super::{python, slackwater};

/// Keeps some blocks from the start to the end, and gives others back only when all of their past is sums.
const SOURCE: &str = "
import os, time
def keep(n):
    return [bytes(10_000) for _ in range(n)]
def late(n):
    return [bytes(20_000) for _ in range(n)]
def churn(n):
    for i in range(n):
        if i % 10_000 == 0:
            time.sleep(0.01)
        bytes(3_000 + (i * 2_654_435_761 >> 7) % 4_999)
def child():
    if os.fork() == 0:
        churn(20_000)
        left = keep(10)
        os._exit(3)
    os.wait()
kept = keep(200)
gone = late(100)
for _ in range(ROUNDS):
    churn(100_000)
    child()
del gone[:60]
os._exit(0)
";
const N_ROUNDS: u64 = 12;
const MOST_BYTES: u64 = 1 << 20;

fn document(folder: &Path, words: &[&str]) -> Value {
    let (code, out, said) = slackwater(folder, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    serde_json::from_str(&out).unwrap()
}

/// What one function asked for, in all stacks that it is in: bytes and calls.
fn of(document: &Value, function: &str, measure: &str) -> (u64, u64) {
    let is_in = |frame: &Value| frame["function"].as_str().unwrap().starts_with(function);
    let stacks = document["stacks"].as_array().unwrap().iter();
    let stacks = stacks.filter(|stack| stack["frames"].as_array().unwrap().iter().any(is_in));
    let sum = |what: &str| stacks.clone().map(|stack| stack[measure][what].as_u64().unwrap()).sum();
    (sum("bytes"), sum("count"))
}

/// Looks at the size of a file until it is told to stop; the largest, and how many files had the name.
fn watched(path: &Path, is_over: &AtomicBool) -> (u64, usize) {
    let (mut most, mut inodes) = (0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        if let Ok(data) = path.metadata() {
            most = most.max(data.len());
            if !inodes.contains(&data.ino()) {
                inodes.push(data.ino());
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (most, inodes.len())
}

/// Records the program; a machine that was too busy for an exact recording has more tries.
fn recorded_exactly(folder: &Path) -> (u64, usize) {
    let source = SOURCE.replace("ROUNDS", &N_ROUNDS.to_string());
    let python = python();
    let words =
        ["record", "--exact", "--max-size", "1MiB", "-f", "-o", "it", "--", &python, "-S", "-c", &source];
    for _ in 0..5 {
        let is_over = AtomicBool::new(false);
        let ((code, _, said), seen) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| watched(&folder.join("it"), &is_over));
            let recorded = slackwater(folder, &words);
            is_over.store(true, Ordering::Relaxed);
            (recorded, watching.join().unwrap())
        });
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("recorded 13 processes"), "{said}");
        if !said.contains("sampled later") {
            return seen;
        }
    }
    panic!("this machine was too busy for an exact recording five times");
}

#[test]
fn fault_31_a_capture_stays_below_its_size_and_keeps_every_total() {
    let folder = tempfile::tempdir().unwrap();
    let (most_bytes, n_files) = recorded_exactly(folder.path());
    assert!(most_bytes <= MOST_BYTES, "{most_bytes}");
    assert!(n_files > 1, "it was never written anew");
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(files, ["it"]);

    let table = document(folder.path(), &["table", "--json", "-n", "1000", "it"]);
    assert_eq!(table["gaps"], serde_json::json!([]));
    let statistics = document(folder.path(), &["stats", "--json", "it"]);
    check_total(&statistics);
    let asked = statistics["asked"].as_array().unwrap();
    assert!(asked.iter().all(|one| !one["by"].is_null()), "{asked:?}");
    let processes = statistics["processes"].as_array().unwrap();
    let sum = |of: &str| processes.iter().map(|one| one[of].as_u64().unwrap()).sum::<u64>();
    let n_events = sum("n_events");
    assert!(n_events > 2_500_000, "{n_events} events");
    assert_eq!(sum("n_processes"), 1 + N_ROUNDS);
    let (bytes, calls) = of(&table, "churn", "allocated");
    let size = |i: u64| 3_000 + ((i * 2_654_435_761) >> 7) % 4_999 + 33;
    let expected = N_ROUNDS * ((0..100_000).map(size).sum::<u64>() + (0..20_000).map(size).sum::<u64>());
    assert!(bytes >= expected && bytes < expected + expected / 1000, "{bytes} of {expected}");
    assert!((N_ROUNDS * 120_000..N_ROUNDS * 120_100).contains(&calls), "{calls}");
    assert_eq!(of(&table, "churn", "live").0, 0);
    // Blocks that were given back long after they had become part of the past.
    let (bytes, calls) = of(&table, "late", "live");
    assert_eq!((bytes / 20_033, calls), (40, 40));
    let (bytes, _) = of(&table, "keep", "live");
    let expected = (200 + 10 * N_ROUNDS) * 10_033;
    assert!((expected..expected + 10_000).contains(&bytes), "{bytes} of {expected}");
    let (bytes, _) = of(&table, "late", "peak");
    assert!((2_003_300..2_100_000).contains(&bytes), "{bytes}");

    // What came when is known of what is left of it, and of nothing before.
    let until_ns = statistics["summed_until_ns"].as_u64().unwrap();
    assert!(statistics["first_ns"].as_u64().unwrap() < until_ns);
    let (code, out, _) = slackwater(folder.path(), &["table", "it"]);
    assert!(code == 0 && out.contains("only sums are kept"), "{out}");
    for words in [["table", "--from", "100ms", "it"], ["stats", "--until", "100ms", "it"]] {
        let (code, _, said) = slackwater(folder.path(), &words);
        assert!(code == 2 && said.contains("only sums are kept") && said.contains("--from"), "{said}");
    }
    document(folder.path(), &["table", "--json", "--from=-1ms", "it"]);
    let (code, _, said) = slackwater(folder.path(), &["flamegraph", "it"]);
    assert_eq!(code, 0, "{said}");
    let (_, out, _) = slackwater(folder.path(), &["export", "--format", "collapsed", "-o", "-", "it"]);
    assert!(out.contains("late"), "{out}");
    let (code, out, _) = slackwater(folder.path(), &["live", "--once", "it"]);
    assert!(code == 0 && out.contains("keep"), "{out}");
}

#[test]
fn fault_29_a_capture_below_a_size_is_whole_whenever_its_recorder_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let source = SOURCE.replace("ROUNDS", "1_000_000");
    for round in rounds(6, 1000) {
        let mut recording = Command::new(env!("CARGO_BIN_EXE_slackwater"))
            .current_dir(folder.path())
            .args(["record", "--exact", "--max-size", "1MiB", "-f", "-o", "it", "--"])
            .args([&python(), "-S", "-c", &source])
            .env("SLACKWATER_AGENT", agent_library().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some while it is written anew, some between.
        std::thread::sleep(Duration::from_millis(700 + round * 137 % 600));
        let marked = slackwater(folder.path(), &["mark", "--capture", "it", "before the kill"]);
        let children = format!("/proc/{0}/task/{0}/children", recording.id());
        let service: i32 = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        recording.kill().unwrap();
        recording.wait().unwrap();
        let service = rustix::process::Pid::from_raw(service).unwrap();
        rustix::process::test_kill_process(service).unwrap();
        rustix::process::kill_process(service, rustix::process::Signal::KILL).unwrap();
        assert_eq!(marked.0, 0, "{}", marked.2);
        let statistics = document(folder.path(), &["stats", "--json", "it"]);
        let gaps = statistics["gaps"].as_array().unwrap();
        assert!(gaps.iter().all(|gap| !gap["cause"].as_str().unwrap().contains("damaged")), "{gaps:?}");
        assert_eq!(statistics["marks"][0]["name"], "before the kill", "round {round}");
        assert_eq!(statistics["marks"].as_array().unwrap().len(), 1);
        let table = document(folder.path(), &["table", "--leaks", "--json", "-n", "1000", "it"]);
        assert!(of(&table, "late", "live").0 >= 2_003_300, "round {round}");
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["it"]);
}
