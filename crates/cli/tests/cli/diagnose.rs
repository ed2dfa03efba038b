//! `diagnose`: the contract of its JSON, the sums, and the words.

use std::time::Instant;

use serde_json::Value;
use slackwater_testkit::Program;

use crate::{json, python, retaining, rss_and_faults, run, slackwater, validate_by};

const MIB: u64 = 1 << 20;

#[track_caller]
pub(crate) fn validate(document: &Value) {
    validate_by("diagnose.v1.json", document);
}

fn sum(ledger: &Value) -> u64 {
    ledger.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

#[test]
fn retention_is_named_with_its_remedy_and_the_document_keeps_its_contract() {
    let target = retaining();
    let document = json(&format!("diagnose --pid {} --json", target.pid())).remove(0);
    validate(&document);
    assert_eq!(document["verdict"], "retention", "{document:#}");
    let process = &document["processes"][0];
    assert_eq!(sum(&process["ledger"]), process["rss_bytes"].as_u64().unwrap());
    assert_eq!(sum(&document["service"]["ledger"]), document["service"]["rss_bytes"].as_u64().unwrap());
    assert!(process["trimmable_bytes"].as_u64().unwrap() > 80 * MIB, "{process:#}");
    let unexplained = process["ledger"]["unexplained"].as_u64().unwrap();
    assert!(unexplained <= 2 * MIB, "{process:#}");
    let finding = &document["findings"][0];
    assert_eq!(finding["code"], "SW101");
    let advice = finding["advice"][0]["command"].as_str().unwrap();
    assert!(advice.starts_with("slackwater trim "), "{advice}");
}

#[test]
fn the_schema_refuses_what_is_not_in_the_contract() {
    let target = retaining();
    let mut document = json(&format!("diagnose --pid {} --json", target.pid())).remove(0);
    document["service"]["ledger"]["lost"] = 1.into();
    let refused = std::panic::catch_unwind(|| validate(&document));
    assert!(refused.is_err(), "a class that the contract does not know must not validate");
}

#[test]
fn looking_changes_nothing_in_the_target() {
    let target = retaining();
    let before = rss_and_faults(target.pid());
    for _ in 0..3 {
        assert_eq!(run(&format!("diagnose --pid {} --verbose", target.pid())).code, 0);
    }
    assert_eq!(rss_and_faults(target.pid()), before, "a page was faulted in, or given back");
}

#[test]
fn fault_42_looking_never_stops_the_target() {
    let target = retaining();
    let status = format!("/proc/{}/status", target.pid());
    let mut look = slackwater(&format!("diagnose --pid {} --for 2s", target.pid()));
    let mut child =
        look.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut looks = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&status).unwrap();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!(field("TracerPid:"), "0");
        assert!(!field("State:").starts_with(['T', 't']), "{}", field("State:"));
        looks += 1;
    }
    assert!(child.wait().unwrap().success() && looks > 10, "{looks}");
}

#[test]
fn the_table_fits_eighty_columns_and_has_no_colour_in_a_pipe() {
    let target = retaining();
    for words in ["", "--verbose", "--for 3s --verbose"] {
        let ran = run(&format!("diagnose --pid {} {words}", target.pid()));
        assert_eq!(ran.code, 0, "{}", ran.err);
        for line in ran.out.lines() {
            // A line to paste is never broken.
            let is_command = line.contains("slackwater run --") || line.contains("slackwater trim --");
            assert!(is_command || line.chars().count() <= 80, "{}: {line}", line.chars().count());
        }
        assert!(!ran.out.contains('\x1b'), "{}", ran.out);
        assert!(ran.out.contains("verdict: retention"), "{}", ran.out);
    }
}

#[test]
fn a_heap_that_grows_inside_its_slack_is_growth() {
    // 60 MiB of freed blocks first; what leaks afterwards fits into them, so RSS stays.
    let source = r#"
import threading, time
blocks = [bytes(6000) for _ in range(10_000)]
fence = bytes(6000)
del blocks
leak = []
def grow():
    while len(leak) < 9_000:
        leak.append(bytes(6000))
        time.sleep(0.002)
threading.Thread(target=grow, daemon=True).start()
ready()
serve()
"#;
    let target = Program::python(python(), "grows_inside_slack", source).unwrap();
    // One arena, so that the thread that leaks finds what the main one has freed.
    let target = target.env("MALLOC_ARENA_MAX", "1").spawn().unwrap();
    let document = json(&format!("diagnose --pid {} --for 8s --json", target.pid())).remove(0);
    validate(&document);
    assert_eq!(document["verdict"], "heap-growth", "{document:#}");
    let slopes = document["growth"]["slopes"].as_array().unwrap();
    let of =
        |subject: &str| slopes.iter().find(|slope| slope["subject"] == subject && slope["pid"].is_null());
    let rss = of("rss").map_or(0.0, |slope| slope["bytes_per_second"].as_f64().unwrap());
    let rate = document["findings"][0]["bytes_per_second"].as_f64().unwrap();
    assert!(rate > 1e6 && rss < rate / 3.0, "heap {rate}, rss {rss}");
}

#[test]
fn a_threshold_that_is_crossed_is_exit_code_one() {
    let target = retaining();
    assert_eq!(run(&format!("diagnose --pid {} --fail-above 50M", target.pid())).code, 1);
    assert_eq!(run(&format!("diagnose --pid {} --fail-above 5G", target.pid())).code, 0);
}

#[test]
fn an_interrupted_watch_judges_what_it_saw() {
    let target = retaining();
    let started = Instant::now();
    let mut watch = slackwater(&format!("diagnose --pid {} --for 10m --json", target.pid()));
    let child =
        watch.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // Long enough for the handler to be in place and a look to be taken; the exact time is no matter.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "retention");
    assert!(started.elapsed().as_secs() < 60);
}
