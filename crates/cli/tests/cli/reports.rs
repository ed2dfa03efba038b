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

/// Exports what the words name, and holds the exit code and what was said against what they should be.
#[track_caller]
fn refused(folder: &Path, words: &[&str], code: i32, said: &[&str]) {
    let before = files(folder);
    let (ended, out, told) = slackwater(folder, &[&["export"], words].concat());
    assert_eq!((ended, out.as_str()), (code, ""), "{words:?}: {told}");
    for part in said {
        assert!(told.contains(part), "{words:?}: no {part:?} in {told}");
    }
    assert_eq!(files(folder), before, "{words:?} leaves something behind");
}

fn files(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn what_cannot_be_exported_is_refused_with_its_reason_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, _, said) = slackwater(folder, &["record", "-o", "it", "--", "true"]);
    assert_eq!(code, 0, "{said}");
    let whole = std::fs::read(folder.join("it")).unwrap();
    // The format of the first frame, and the checksum of its header.
    let mut newer = whole.clone();
    newer[8 + 6..8 + 8].copy_from_slice(&99_u16.to_le_bytes());
    let crc = crc32(&newer[8..8 + 44]);
    newer[8 + 44..8 + 48].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(folder.join("newer"), newer).unwrap();
    std::fs::write(folder.join("empty"), "").unwrap();
    std::fs::write(folder.join("other"), "no capture, whatever it is called").unwrap();

    refused(folder, &["--format", "svg", "it"], 2, &["error: ", "svg", "speedscope", "pprof", "collapsed"]);
    refused(folder, &["it"], 2, &["error: ", "--format"]);
    for format in ["speedscope", "pprof", "collapsed"] {
        let refused = |words: &[&str], code, said: &[&str]| {
            refused(folder, &[&["--format", format], words].concat(), code, said);
        };
        refused(&["-o", "none/out", "it"], 2, &["error: cannot create none/out", "cause: No such file"]);
        refused(&["-o", "it/out", "it"], 2, &["error: cannot create it/out", "cause: Not a directory"]);
        refused(&["-o", "it", "it"], 2, &["error: it is there already", "hint: ", "--force"]);
        refused(&["nothing"], 2, &["error: cannot read nothing", "cause: No such file", "hint: check"]);
        refused(&["newer"], 5, &["error: newer has format 99", "hint: read it with the release"]);
        refused(&["empty"], 5, &["error: nothing is in empty yet", "hint: ", "record again"]);
        refused(&["other"], 5, &["error: other is not a capture", "hint: "]);
    }
    assert_eq!(std::fs::read(folder.join("it")).unwrap(), whole, "it is as it was");
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

#[test]
fn an_export_of_a_capture_that_was_cut_off_holds_what_is_left_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let _ = recorded(folder.path());
    let whole = std::fs::read(folder.path().join("it.slackwater")).unwrap();
    let collapsed = |name: &str| {
        let words = ["export", "--format", "collapsed", "--allocated", "-o", "-", name];
        let (code, out, said) = slackwater(folder.path(), &words);
        assert_eq!(code, 0, "{said}");
        let weight = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
        (out.lines().map(weight).sum::<u64>(), said)
    };
    let (bytes, said) = collapsed("it.slackwater");
    assert!(bytes > 20_000_000 && said.is_empty(), "{bytes}: {said}");
    // Within the frame before the end.
    std::fs::write(folder.path().join("cut"), &whole[..whole.len() - 49]).unwrap();
    let (left, said) = collapsed("cut");
    assert!(0 < left && left <= bytes, "{left} of {bytes}");
    assert!(said.contains("warning: missing: the last records of the capture"), "{said}");
    // Those for whom it goes into a file are told as well, whatever the format.
    for format in ["speedscope", "pprof", "collapsed"] {
        let (code, _, said) = slackwater(folder.path(), &["--quiet", "export", "--format", format, "cut"]);
        assert!(code == 0 && said.contains("warning: missing: "), "{format}: {said}");
    }
}
