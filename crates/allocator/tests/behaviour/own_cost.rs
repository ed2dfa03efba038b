//! What the governor itself costs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use slackwater_base::Pid;
use slackwater_control::Policy;
use slackwater_testkit::Program;

use crate::preload::{MIB, program, python, resident_bytes, under};

/// Where the kernel counts how often the governor ran.
fn governor(pid: Pid) -> PathBuf {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let named = |path: &PathBuf| std::fs::read_to_string(path.join("comm")).unwrap().trim() == "slackwater";
    tasks.flatten().map(|task| task.path()).find(named).expect("a governor").join("schedstat")
}

const SECONDS: u64 = 4;

/// How often the governor runs in `SECONDS` while the program does as it is told. Counted, not timed: a
/// look takes 25 to 80 microseconds, so that 20 a second are at most 0.16 % of a processor.
fn runs(source: &str) -> u64 {
    let target = under(&Program::python(python(), "cost", source).unwrap()).spawn().unwrap();
    let clock = governor(target.pid());
    let runs = || -> u64 {
        std::fs::read_to_string(&clock).unwrap().split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let (begin, before) = (Instant::now(), runs());
    std::thread::sleep(Duration::from_secs(SECONDS));
    (runs() - before) * SECONDS * 1000 / begin.elapsed().as_millis() as u64
}

/// Runs in `SECONDS`, one each `tick_ms`. A look that loses its processor counts twice.
const fn twice_every(tick_ms: u64) -> u64 {
    2 * SECONDS * 1000 / tick_ms
}

#[test]
fn fault_24_idle_it_looks_rarely() {
    // Every program is taken for busy at first.
    let young = twice_every(Policy::DEFAULT.busy_tick_ms) / SECONDS;
    let runs = runs("ready()\nserve()");
    assert!(runs <= twice_every(Policy::DEFAULT.idle_tick_ms) + young, "{runs} runs");
}

#[test]
fn fault_24_busy_it_looks_twenty_times_a_second() {
    let runs = runs("ready()\nwhile True: [bytes(2000 + i % 3000) for i in range(1000)]");
    assert!(runs <= twice_every(Policy::DEFAULT.busy_tick_ms), "{runs} runs");
    assert!(runs >= twice_every(Policy::DEFAULT.busy_tick_ms) / 8, "it does look: {runs} runs");
}

#[test]
fn fault_24_it_takes_little_memory() {
    let program = program!("small_stacks");
    let plain = program.spawn().unwrap();
    let ours = under(&program).env("SLACKWATER_GOVERNOR", "on").spawn().unwrap();
    let more = resident_bytes(ours.pid()).saturating_sub(resident_bytes(plain.pid()));
    assert!(more < 6 * MIB, "{more}");
}
