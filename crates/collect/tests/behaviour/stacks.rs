//! Stacks are put together from what a thread remembers of its last one: they must be what a look at all
//! frames would find.

use std::path::Path;
use std::process::Command;

use slackwater_collect::Options;
use slackwater_testkit::{checked_agent_library, interpreters};

use crate::recording::{SAMPLED, record_by};

/// Every allocation is looked at, and nobody waits for the collector.
const ALL: Options = Options { sample_mean: 1, ..SAMPLED };

/// Turns that a program takes, each with some allocations; `SLACKWATER_TURNS` asks for more.
fn n_turns() -> u32 {
    std::env::var("SLACKWATER_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(1000)
}

/// A difference would have ended it.
fn check(name: &str, mut python: Command) {
    python.args(["-c", include_str!("../programs/wandering.py"), "1", &n_turns().to_string()]);
    let (told, _) = record_by(&checked_agent_library().unwrap(), &ALL, &mut python);
    let [told] = told.into_values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(told.no_stacks, None, "{name}");
    assert!(told.n_allocations > u64::from(n_turns()), "{name}: {}", told.n_allocations);
}

#[test]
fn fault_23_stacks_of_functions_generators_and_threads_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), interpreter.command());
    }
}

#[test]
fn fault_23_stacks_of_greenlets_are_no_mixtures() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/.cache/wheels/bin/python");
    if python.exists() {
        check("greenlets", Command::new(python));
    } else {
        eprintln!("not tested: no greenlet, which `make fixtures` installs in fixtures/.cache/wheels");
    }
}
