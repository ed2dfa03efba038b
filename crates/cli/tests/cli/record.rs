//! `record`, `table` and `stats`: a command recorded from start to end, and what is said of it.

mod asked;
mod kills;
mod outputs;
mod recycling;
mod sizes;
mod view;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use slackwater_testkit::{agent_library, interpreters};

const SOURCE: &str = "
import os, sys
def keep():
    return [bytes(10_000) for _ in range(300)]
kept = keep()
sys.stdout.write('to its own output')
os._exit(7)
";

pub(super) fn slackwater(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slackwater"))
        .current_dir(folder)
        .args(arguments)
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .env_remove("LD_PRELOAD")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(super) fn python() -> String {
    let python = interpreters().iter().find(|one| one.is_plain() && one.version().1 == 11).unwrap();
    python.path().display().to_string()
}

#[test]
fn a_command_is_recorded_and_its_exit_code_kept() {
    let folder = tempfile::tempdir().unwrap();
    let python = python();
    let record = |options: &[&str]| {
        let words: Vec<&str> =
            [&["record"], options, &["-o", "it", "--", &python, "-S", "-c", SOURCE]].concat();
        slackwater(folder.path(), &words)
    };
    let (code, out, said) = record(&["--exact"]);
    assert_eq!((code, out.as_str()), (7, "to its own output"), "{said}");
    assert!(said.contains("recorded 1 process") && said.contains("slackwater table it"), "{said}");

    let (code, out, said) = slackwater(folder.path(), &["table", "--leaks", "it"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("every event") && out.contains("keep"), "{out}");
    let (_, out, _) = slackwater(folder.path(), &["table", "--leaks", "--json", "it"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    let first = &document["stacks"][0];
    let bytes = first["live"]["bytes"].as_u64().unwrap();
    assert!((3_000_000..3_100_000).contains(&bytes), "{first}");
    assert!(first["frames"].as_array().unwrap().iter().any(|frame| frame["function"] == "keep"), "{first}");
    let (_, out, _) = slackwater(folder.path(), &["stats", "--json", "it"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["processes"][0]["ended"], serde_json::json!({ "how": "exit", "value": 7 }));

    // Not overwritten by accident.
    let (code, _, said) = record(&[]);
    assert_eq!(code, 2);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(record(&["--force"]).0, 7);
}

#[test]
fn a_signal_of_the_command_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, said) = slackwater(folder.path(), &["record", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(code, 128 + 9, "{said}");
    let (_, out, _) = slackwater(folder.path(), &["stats", "sh.slackwater"]);
    assert!(out.contains("signal 9"), "{out}");
}

#[test]
fn fault_28_a_full_disk_ends_the_recording_and_not_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let program = format!("{} -S -c 'for i in range(200000): bytes(3000 + i % 999)'; echo done", python());
    // A file system of its own, of two pages, which is gone with the shell.
    let words = "mount -t tmpfs -o size=8k none . && cd \"$PWD\" && \"$1\" record --exact -o it -- sh -c \"$2\" && \
                 exec \"$1\" stats it";
    let output = Command::new("unshare")
        .current_dir(folder.path())
        .args(["--mount", "sh", "-c", words, "sh", env!("CARGO_BIN_EXE_slackwater"), &program])
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .output()
        .unwrap();
    let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}");
    assert!(out.starts_with("done\n"), "{out}{said}");
    assert!(said.contains("recording ended early"), "{said}");
    assert!(out.contains("missing"), "{out}");
}

#[test]
fn captures_are_rotated_and_each_is_readable_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = "
import os, time
def early():
    return bytes(100_000)
def late():
    return bytes(70_000)
kept = early()
end = time.monotonic() + 4.5
while time.monotonic() < end:
    late()
    time.sleep(0.01)
os._exit(0)
";
    let python = python();
    let words = [
        "record", "--exact", "--rotate", "1s", "--keep", "3", "-o", "it.cap", "--", &python, "-S", "-c",
        source,
    ];
    let (code, _, said) = slackwater(folder.path(), &words);
    assert_eq!(code, 0, "{said}");
    let mut files: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(!files.contains(&"it.cap".to_owned()), "{files:?}");
    for file in &files {
        let (_, out, _) = slackwater(folder.path(), &["table", "--json", file]);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["gaps"], serde_json::json!([]), "{file}");
        let stacks = document["stacks"].as_array().unwrap();
        // Functions that were met in a file before are known here, too.
        let late = stacks.iter().find(|stack| stack["frames"][0]["function"] == "late");
        assert!(
            late.is_some_and(|stack| stack["allocated"]["bytes"].as_u64().unwrap() > 700_000),
            "{file}: {out}"
        );
        assert!(stacks.iter().all(|stack| stack["frames"][0]["function"] != "early"), "{file}: {out}");
        let (_, out, _) = slackwater(folder.path(), &["stats", "--json", file]);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["processes"][0]["program"], "python3.11", "{file}");
    }
}

#[test]
fn marks_are_put_into_a_recording_under_way_and_into_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let source = "import sys, os; print(os.getpid(), flush=True); sys.stdin.readline(); os._exit(0)";
    let mut recording = Command::new(env!("CARGO_BIN_EXE_slackwater"))
        .current_dir(folder.path())
        .args(["record", "-o", "it", "--", &python(), "-S", "-c", source])
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(recording.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let (code, _, said) = slackwater(folder.path(), &["mark", "--capture", "it", "by its file\x1b[31m"]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = slackwater(folder.path(), &["mark", "--pid", pid.trim(), "by a process of it"]);
    assert_eq!(code, 0, "{said}");
    // Somebody else's file, or none that is being recorded.
    assert_eq!(slackwater(folder.path(), &["mark", "--pid", "1", "of nothing"]).0, 4);
    let (code, _, said) = slackwater(folder.path(), &["record", "-f", "-o", "it", "--", "true"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("being recorded into"), "{said}");
    recording.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(recording.wait().unwrap().success());

    let (_, out, _) = slackwater(folder.path(), &["stats", "it"]);
    assert!(out.contains("s: by its file\\u{1b}[31m\n"), "{out}");
    assert!(out.contains("s: by a process of it\n") && !out.contains("missing"), "{out}");
    let (_, out, _) = slackwater(folder.path(), &["stats", "--json", "it"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    let names: Vec<_> = document["marks"].as_array().unwrap().iter().map(|mark| &mark["name"]).collect();
    assert_eq!(names, ["by its file\x1b[31m", "by a process of it"]);
    let (code, _, said) = slackwater(folder.path(), &["mark", "--capture", "it", "too late"]);
    assert_eq!(code, 4, "{said}");
    std::fs::write(folder.path().join("other"), "no capture").unwrap();
    assert_eq!(slackwater(folder.path(), &["mark", "--capture", "other", "into nothing"]).0, 5);
}

#[test]
fn other_files_and_commands_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("it"), "no capture").unwrap();
    let (code, _, said) = slackwater(folder.path(), &["table", "it"]);
    assert_eq!(code, 5, "{said}");
    assert_eq!(slackwater(folder.path(), &["stats", "nothing"]).0, 2);
    assert_eq!(slackwater(folder.path(), &["record", "--", "no-such-command"]).0, 2);
}
