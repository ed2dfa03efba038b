//! `doctor`: every check tried, each with its answer.

use crate::{json, retaining, run};

#[test]
fn everything_is_possible_for_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: needs root");
        return;
    }
    let target = retaining();
    let document = json(&format!("doctor --pid {} --json", target.pid())).remove(0);
    let possible = document["possible"].as_object().unwrap();
    assert!(possible.values().all(|answer| answer == true), "{document:#}");
    assert!(document["checks"].as_array().unwrap().len() >= 5);
    let ran = run(&format!("doctor --pid {}", target.pid()));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
}

#[test]
fn a_process_that_is_not_there() {
    let ran = run("doctor --pid 4194000");
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("FAIL"), "{}", ran.out);
}
