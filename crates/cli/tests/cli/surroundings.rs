//! Odd surroundings: no environment, a reader that goes away, names that are not text.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use crate::{Ran, python, retaining, run, slackwater};

#[test]
fn fault_47_without_an_environment() {
    let target = retaining();
    let words = format!("diagnose --pid {}", target.pid());
    for variables in [&[][..], &[("LANG", "C")], &[("TERM", "dumb"), ("HOME", "/nonexistent")]] {
        let ran = Ran::from(
            slackwater(&words)
                .env_clear()
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{variables:?}: {}", ran.err);
        assert!(ran.out.contains("verdict:"), "{}", ran.out);
    }
}

#[test]
fn fault_47_a_reader_that_goes_away_is_no_error() {
    let target = retaining();
    let mut child = slackwater(&format!("diagnose --pid {} --verbose", target.pid()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(err, "");
}

#[test]
fn fault_47_a_full_disk_is_an_error_and_no_panic() {
    let target = retaining();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = slackwater(&format!("diagnose --pid {}", target.pid())).stdout(full).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("cannot write to standard output"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn fault_33_names_that_are_not_text_and_names_that_act_on_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = std::ffi::OsStr::from_bytes(b"job\x1b]0;gotcha\x07\xff.py");
    let script = folder.path().join(hostile);
    std::fs::write(&script, "import sys; print('ready', flush=True); sys.stdin.read()").unwrap();
    let mut child = Command::new(python().path())
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    for words in ["", "--json", "--verbose"] {
        let ran = run(&format!("diagnose --pid {} {words}", child.id()));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(!ran.out.contains('\x1b') && !ran.out.contains('\x07'), "{:?}", ran.out);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn fault_47_colour_follows_the_conventions() {
    let target = retaining();
    let colored = |variables: &[(&str, &str)], words: &str| {
        let words = format!("diagnose --pid {} {words}", target.pid());
        let ran = Ran::from(slackwater(&words).envs(variables.iter().copied()).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.contains('\x1b')
    };
    assert!(!colored(&[], ""));
    assert!(colored(&[("CLICOLOR_FORCE", "1")], ""));
    assert!(!colored(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], ""));
    assert!(colored(&[("NO_COLOR", "1")], "--color always"));
    assert!(!colored(&[("CLICOLOR_FORCE", "1")], "--color never"));
}

#[test]
fn fault_36_arguments_and_environment_stay_where_they_are() {
    let canary = "hunter2canary";
    let mut child = Command::new(python().path())
        .args(["-c", "import sys; print('ready', flush=True); sys.stdin.read()", "--password", canary])
        .env("DATABASE_PASSWORD", canary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    for words in ["diagnose --verbose", "diagnose --json", "doctor", "doctor --json", "trim --dry-run --json"]
    {
        let ran = run(&format!("{words} --pid {}", child.id()));
        assert!(!ran.out.contains(canary) && !ran.err.contains(canary), "{words}: {}{}", ran.out, ran.err);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&format!("completions {shell}"));
        assert!(ran.code == 0 && ran.out.contains("diagnose"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&format!("man {}", folder.path().display())).code, 0);
    let page = std::fs::read_to_string(folder.path().join("slackwater-trim.1")).unwrap();
    assert!(page.contains("malloc_trim(0)"), "{page}");
}
