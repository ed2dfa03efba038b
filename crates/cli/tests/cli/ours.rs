//! A service on our own allocator: its heap is read and trimmed from outside, without entering.

use serde_json::Value;
use slackwater_testkit::{Program, Target, allocator_library};

use crate::diagnose::validate;
use crate::trim::assert_as_predicted;
use crate::{RETAINS, json, python, rss_and_faults, run};

const MIB: u64 = 1 << 20;

/// A policy that never finds unused pages worth a purge by itself.
const WAITS_TO_BE_ASKED: &str = "idle_min_bytes:1000000000000,cap_min_bytes:1000000000000";

/// The program under our library; nothing is given back unless somebody asks.
fn retaining(governor: &str) -> Target {
    let program = Program::python(python(), "retains_ours", RETAINS).unwrap();
    let program = program.env("LD_PRELOAD", allocator_library().unwrap());
    let program = program.env("PYTHONMALLOC", "malloc").env("MALLOC_CONF", "dirty_decay_ms:-1");
    let program = program.env("SLACKWATER_GOVERNOR", governor);
    program.env("SLACKWATER_POLICY", WAITS_TO_BE_ASKED).spawn().unwrap()
}

fn process(target: &Target) -> Value {
    let document = json(&format!("diagnose --pid {} --json", target.pid())).remove(0);
    validate(&document);
    document["processes"][0].clone()
}

fn bytes(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value:#}"))
}

#[test]
fn every_byte_of_its_heap_has_a_class() {
    let target = retaining("on");
    let process = process(&target);
    assert_eq!(process["allocator"], "slackwater", "{process:#}");
    assert_eq!(process["gaps"], Value::Array(Vec::new()), "{process:#}");
    assert_eq!(process["heaps"][0]["allocator"], "slackwater");
    let ledger = &process["ledger"];
    let sum: u64 = ledger.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(sum, bytes(&process, "rss_bytes"));
    assert!(bytes(ledger, "slack_trimmable") > 60 * MIB, "{process:#}");
    assert!(bytes(ledger, "unexplained") <= 64 << 10, "{process:#}");
    assert!(bytes(ledger, "anon_other") <= MIB, "{process:#}");
    // The library's code and data, and its thread's stack.
    assert!((256 << 10..2 * MIB).contains(&bytes(ledger, "own")), "{process:#}");
    assert!(!process["slackwater"]["governor"]["state"].is_null(), "{process:#}");
    let options = process["slackwater"]["settings"]["user_options"].as_str().unwrap();
    assert_eq!(options, "dirty_decay_ms:-1");
}

#[test]
fn looking_changes_nothing_in_it() {
    let target = retaining("off");
    let before = rss_and_faults(target.pid());
    for _ in 0..3 {
        assert_eq!(run(&format!("diagnose --pid {} --verbose", target.pid())).code, 0);
    }
    assert_eq!(rss_and_faults(target.pid()), before, "a page was faulted in, or given back");
}

#[test]
fn it_is_trimmed_by_its_command_word() {
    let mut target = retaining("on");
    let row = json(&format!("trim --pid {} --json", target.pid())).remove(0);
    assert_eq!((row["outcome"].as_str(), row["way"].as_str()), (Some("trimmed"), Some("command")), "{row:#}");
    assert_eq!(row["stopped_seconds"], Value::Null, "no thread was stopped");
    assert!(bytes(&row, "released_bytes") > 60 * MIB, "{row:#}");
    assert_as_predicted(&row);
    assert_eq!(target.ask("still there?").unwrap(), "");

    let after = process(&target);
    assert!(bytes(&after["ledger"], "slack_trimmable") <= MIB, "{after:#}");
    let decisions = &after["slackwater"]["governor"]["last_decisions"];
    let reasons: Vec<&Value> = decisions.as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert!(reasons.iter().any(|reason| *reason == "asked"), "{after:#}");
}

#[test]
fn without_its_governor_it_is_entered_as_any_jemalloc() {
    let mut target = retaining("off");
    let row = json(&format!("trim --pid {} --json --deadline 10s", target.pid())).remove(0);
    assert_eq!((row["outcome"].as_str(), row["way"].as_str()), (Some("trimmed"), Some("call")), "{row:#}");
    assert!(bytes(&row, "released_bytes") > 60 * MIB, "{row:#}");
    assert_as_predicted(&row);
    assert_eq!(target.ask("still there?").unwrap(), "");
}

#[test]
fn the_advice_is_not_to_do_what_is_done_already() {
    let target = retaining("on");
    let ran = run(&format!("diagnose --pid {}", target.pid()));
    assert!(ran.out.contains("verdict: retention"), "{}", ran.out);
    assert!(
        ran.out.contains("slackwater verify --") && !ran.out.contains("slackwater run --"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("\n  governor  "), "{}", ran.out);
    assert!(!ran.out.contains("SW130"), "it is no foreign allocator: {}", ran.out);
}
