//! The verbs that read a capture: each on the same real one.

use std::path::Path;

use serde_json::Value;

use crate::record::{python, slackwater};
use crate::validate_by;

/// A parent holds much for a moment and a child keeps some; both are told apart by what they hold.
const SOURCE: &str = "
import os, time
def burst():
    return [bytes(100_000) for _ in range(200)]
def keep():
    return [bytes(10_000) for _ in range(300)]
held = burst()
time.sleep(1)
del held
if os.fork() == 0:
    kept = keep()
    time.sleep(1)
    os._exit(0)
os.wait()
os._exit(0)
";

/// Records the two once for each test, and reads them with these words.
fn recorded(folder: &Path) -> impl Fn(&[&str]) -> String {
    let python = python();
    let words = ["record", "--exact", "-o", "it.slackwater", "--", &python, "-S", "-c", SOURCE];
    let (code, _, said) = slackwater(folder, &words);
    assert_eq!(code, 0, "{said}");
    move |words: &[&str]| {
        let (code, out, said) = slackwater(folder, words);
        assert_eq!(code, 0, "{words:?}: {said}");
        out
    }
}

#[test]
fn tables_answer_for_the_peak_each_worker_and_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let read = recorded(folder.path());
    let peak = read(&["table", "--peak", "it.slackwater"]);
    assert!(peak.contains("burst") && peak.contains("live at peak") && !peak.contains("keep"), "{peak}");
    let leaks = read(&["table", "--leaks", "it.slackwater"]);
    assert!(leaks.contains("keep") && !leaks.contains("burst"), "{leaks}");
    // Half a second after the begin the burst was live, and nothing had been given back.
    let then = read(&["table", "--leaks", "--until", "500ms", "it.slackwater"]);
    assert!(then.contains("burst") && !then.contains("keep"), "{then}");
    let later = read(&["table", "--from", "-500ms", "it.slackwater"]);
    assert!(!later.contains("burst") && !later.contains("keep"), "{later}");

    let document = |words: &[&str]| -> Value { serde_json::from_str(&read(words)).unwrap() };
    let by_worker = document(&["table", "--allocated", "--by-worker", "--json", "it.slackwater"]);
    validate_by("record.table.v1.json", &by_worker);
    let pids: std::collections::BTreeSet<u64> =
        by_worker["stacks"].as_array().unwrap().iter().map(|one| one["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{pids:?}");
    let statistics = document(&["stats", "--json", "it.slackwater"]);
    validate_by("record.stats.v1.json", &statistics);
    let bytes = statistics["peak"]["bytes"].as_u64().unwrap();
    assert!((20_000_000..26_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn pages_and_exports_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let read = recorded(folder.path());
    read(&["flamegraph", "it.slackwater"]);
    let html = std::fs::read_to_string(folder.path().join("it.html")).unwrap();
    assert!(html.contains("burst") && html.contains("live at the high-water mark"));
    let (code, _, said) = slackwater(folder.path(), &["flamegraph", "it.slackwater"]);
    assert!(code == 2 && said.contains("--force"), "{said}");
    read(&["flamegraph", "--leaks", "--force", "it.slackwater"]);
    for (format, ending) in [("speedscope", "speedscope.json"), ("pprof", "pb.gz"), ("collapsed", "txt")] {
        read(&["export", "--format", format, "it.slackwater"]);
        assert!(folder.path().join("it").with_extension(ending).is_file(), "{format}");
    }
    let collapsed = read(&["export", "--format", "collapsed", "--leaks", "-o", "-", "it.slackwater"]);
    assert!(
        collapsed.lines().any(|line| line.contains("keep (<string>:") && !line.ends_with(" 0")),
        "{collapsed}"
    );
}

#[test]
fn a_recording_can_be_watched_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let read = recorded(folder.path());
    let once = read(&["live", "--once", "it.slackwater"]);
    assert!(once.contains("it.slackwater   ended") && once.contains("2 ended"), "{once}");
    // The same without its end, as while it is written.
    let whole = std::fs::read(folder.path().join("it.slackwater")).unwrap();
    std::fs::write(folder.path().join("cut.slackwater"), &whole[..whole.len() - 48]).unwrap();
    let growing = read(&["live", "cut.slackwater"]);
    assert!(growing.contains("cut.slackwater   recording") && growing.contains("keep"), "{growing}");
}
