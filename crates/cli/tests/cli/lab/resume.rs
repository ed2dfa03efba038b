//! What was measured stays: an experiment that was broken off goes on where it was.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{Bench, wait_for};
use crate::Ran;

/// Three arms with the null arm, three turns each.
fn bench() -> Bench {
    let bench = Bench::working("import time\ntime.sleep(0.15)\n", "", 3);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    bench.plan(&format!("{plan}[[arm]]\nname = 'other'\nenvironment = {{ PYTHONMALLOC = 'malloc' }}\n"));
    bench
}

fn turns(result: &Value) -> Vec<(String, u64)> {
    let trials = result["trials"].as_array().unwrap().iter();
    trials
        .map(|trial| (trial["arm"].as_str().unwrap().to_owned(), trial["repetition"].as_u64().unwrap()))
        .collect()
}

#[test]
fn fault_45_what_was_saved_before_a_kill_is_kept_and_the_rest_is_measured() {
    let bench = bench();
    let mut kept: Vec<Value> = Vec::new();
    for _ in 0..3 {
        let running = bench.start();
        let n_before = kept.len();
        wait_for("a trial more", || match fs::read(bench.path("lab.lab/result.json")) {
            Ok(text) => {
                // Whole at any moment, or this fails.
                let result: Value = serde_json::from_slice(&text).unwrap();
                let n_trials = result["trials"].as_array().unwrap().len();
                if n_trials > n_before { Ok(()) } else { Err(n_trials.to_string()) }
            }
            Err(error) => Err(error.to_string()),
        });
        running.signal(libc::SIGKILL);
        drop(running);
        bench.assert_nothing_is_left();
        let result = bench.result();
        let trials = result["trials"].as_array().unwrap();
        assert_eq!(trials[..n_before], kept[..]);
        kept.clone_from(trials);
    }
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = bench.result();
    assert_eq!(result["trials"].as_array().unwrap()[..kept.len()], kept[..]);
    let resumed = turns(&result);
    assert_eq!(resumed.len(), 9);
    assert_eq!(resumed.iter().collect::<BTreeSet<_>>().len(), 9, "every turn once: {resumed:?}");

    // In the order that an experiment has which is not broken off.
    let ran: Ran = bench.command("--output whole").output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let whole: Value = serde_json::from_slice(&fs::read(bench.path("whole/result.json")).unwrap()).unwrap();
    assert_eq!(turns(&whole), resumed);

    // Nothing is left to do.
    let before = fs::read(bench.path("lab.lab/result.json")).unwrap();
    assert_eq!(bench.run().code, 0);
    let after: Value = serde_json::from_slice(&fs::read(bench.path("lab.lab/result.json")).unwrap()).unwrap();
    assert_eq!(after["trials"], serde_json::from_slice::<Value>(&before).unwrap()["trials"]);
}

#[test]
fn a_result_of_another_plan_is_not_touched() {
    let bench = Bench::working("import time\ntime.sleep(0.15)\n", "", 1);
    assert_eq!(bench.run().code, 0);
    let before = fs::read(bench.path("lab.lab/result.json")).unwrap();
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    bench.plan(&plan.replace("name = 'work'", "name = 'other work'"));
    let ran = bench.run();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("is the result of another plan") && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read(bench.path("lab.lab/result.json")).unwrap(), before);
    let ran: Ran = bench.command("--force").output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(bench.result()["name"], "other work");
}

#[test]
fn a_result_of_another_body_is_not_touched() {
    let bench = Bench::serving(&["right"]);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    bench.plan(&plan.replace("path = '/'", "path = '/'\nmethod = 'GET'\nbody_file = 'body.json'"));
    fs::write(bench.path("body.json"), "{}").unwrap();
    assert_eq!(bench.run().code, 0);
    let before = fs::read(bench.path("lab.lab/result.json")).unwrap();
    // Of the same length.
    fs::write(bench.path("body.json"), "[]").unwrap();
    let ran = bench.run();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("body.json is not what it was when ") && ran.err.contains("--force"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read(bench.path("lab.lab/result.json")).unwrap(), before);
    fs::write(bench.path("body.json"), "{}").unwrap();
    assert_eq!(bench.run().code, 0);
}

#[test]
fn two_runners_do_not_share_a_folder() {
    let bench = Bench::working("import time\ntime.sleep(600)\n", "", 1);
    let running = bench.start();
    wait_for("the first", || super::exists(&bench.path("lab.lab/result.json")));
    let ran = bench.run();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("another `lab run` is at work in "), "{}", ran.err);
    running.signal(libc::SIGINT);
    assert_eq!(Ran::from(running.output()).code, 130);
    bench.assert_nothing_is_left();
}

#[test]
fn a_result_that_is_damaged_is_said_and_not_touched() {
    let bench = Bench::working("", "", 1);
    fs::create_dir(bench.path("lab.lab")).unwrap();
    for damaged in ["", "{\"schema\": 1", "{\"schema\": 99}", "[]"] {
        fs::write(bench.path("lab.lab/result.json"), damaged).unwrap();
        let ran = bench.run();
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("cannot read ") && ran.err.contains("--force"), "{}", ran.err);
        assert_eq!(fs::read_to_string(bench.path("lab.lab/result.json")).unwrap(), damaged);
    }
}
