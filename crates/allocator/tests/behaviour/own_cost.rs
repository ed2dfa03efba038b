//! What the governor itself costs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use slackwater_base::Pid;
use slackwater_control::Policy;
use slackwater_testkit::Program;

use crate::preload::{MIB, program, python, resident_bytes, under};

/// Where the kernel counts the governor's processor time, in nanoseconds.
fn governor(pid: Pid) -> PathBuf {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let named = |path: &PathBuf| std::fs::read_to_string(path.join("comm")).unwrap().trim() == "slackwater";
    tasks.flatten().map(|task| task.path()).find(named).expect("a governor").join("schedstat")
}

/// The governor's share of one processor, in parts per million, while the program does as it is told.
fn share_ppm(source: &str) -> u128 {
    let target = under(&Program::python(python(), "cost", source).unwrap()).spawn().unwrap();
    let clock = governor(target.pid());
    let used = || -> u128 {
        std::fs::read_to_string(&clock).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let (begin, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_secs(4));
    (used() - before) * 1_000_000 / begin.elapsed().as_nanos()
}

/// 0.2 %.
const MOST_PPM: u128 = 2_000;

#[test]
fn fault_24_idle_it_costs_next_to_nothing() {
    let share = share_ppm("ready()\nserve()");
    assert!(share < MOST_PPM, "{share} ppm");
}

#[test]
fn fault_24_busy_it_costs_less_than_two_thousandths() {
    let share = share_ppm("ready()\nwhile True: [bytes(2000 + i % 3000) for i in range(1000)]");
    assert!(share < MOST_PPM, "{share} ppm");
}

#[test]
fn fault_24_purges_while_busy_stay_within_their_price() {
    // Swings by 18 MB: above what a working process may have dirty.
    let share = share_ppm("ready()\nwhile True: [bytes(2000 + i % 3000) for i in range(5000)]");
    let price = u128::from(Policy::DEFAULT.cap_cost_permille) * 1_000;
    assert!(share < MOST_PPM + price, "{share} ppm");
}

#[test]
fn fault_24_it_takes_little_memory() {
    let program = program!("small_stacks");
    let plain = program.spawn().unwrap();
    let ours = under(&program).env("SLACKWATER_GOVERNOR", "on").spawn().unwrap();
    let more = resident_bytes(ours.pid()).saturating_sub(resident_bytes(plain.pid()));
    assert!(more < 6 * MIB, "{more}");
}
