//! Plans: written for a command or a running service, and refused with line and key.

use std::fs;
use std::process::{Command, Stdio};

use super::{Bench, SERVICE, wait_for};
use crate::{Ran, python, slackwater};

fn lab(bench: &Bench, words: &[&str]) -> Ran {
    slackwater("lab").args(words).current_dir(bench.folder.path()).output().unwrap().into()
}

#[test]
fn a_plan_for_a_command_is_written_once() {
    let bench = Bench::new("", &[]);
    fs::remove_file(bench.path("lab.toml")).unwrap();
    let ran = lab(&bench, &["init", "--", "gunicorn", "--workers", "2", "app:app"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("wrote lab.toml: "), "{}", ran.err);
    let text = fs::read_to_string(bench.path("lab.toml")).unwrap();
    assert!(text.contains("127.0.0.1:{port}") && text.contains("[[load.request]]"), "{text}");
    let ran = lab(&bench, &["init", "--", "gunicorn", "other:app"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read_to_string(bench.path("lab.toml")).unwrap(), text);
}

#[test]
fn a_plan_for_a_running_service_tells_no_secrets() {
    let bench = Bench::new("", &[("service.py", SERVICE)]);
    let mut child = Command::new(python().path())
        .args([bench.path("service.py").to_str().unwrap(), "0", "right"])
        .current_dir(bench.folder.path())
        .env("DATABASE_PASSWORD", "hunter2")
        .env("PYTHONHASHSEED", "0")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    // Until it has been executed, it is a copy of this test.
    wait_for("the service", || {
        let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if cmdline.contains("service.py") { Ok(()) } else { Err(cmdline) }
    });
    let ran = lab(&bench, &["init", "--pid", &pid, "-o", "taken.toml"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = fs::read_to_string(bench.path("taken.toml")).unwrap();
    assert!(text.contains("service.py"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_wrong_key_is_said_with_its_line_before_anything_is_started() {
    let bench = Bench::working("", "", 1);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    bench.plan(&plan.replace("repetitions", "repetitons"));
    let ran = bench.run();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("lab.toml: line ") && ran.err.contains("repetitons"), "{}", ran.err);
    assert!(ran.err.contains("hint: did you mean repetitions?"), "{}", ran.err);
    assert!(!bench.path("lab.lab").exists());

    fs::remove_file(bench.path("lab.toml")).unwrap();
    let ran = bench.run();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("slackwater lab init"), "{}", ran.err);
}
