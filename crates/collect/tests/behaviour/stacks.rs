//! Stacks are put together from what a thread remembers of its last one: they must be what a look at all
//! frames would find.

use std::path::Path;
use std::process::Command;

use slackwater_collect::Options;
use slackwater_testkit::{checked_agent_library, interpreters, rounds};

use crate::recording::{SAMPLED, record_by};

/// Every allocation is looked at, and nobody waits for the collector.
const ALL: Options = Options { sample_mean: 1, ..SAMPLED };

/// Turns that a program takes, each with some allocations.
const N_TURNS: u64 = 1000;

/// A difference would have ended it.
fn check(name: &str, python: impl Fn() -> Command) {
    for round in rounds(N_TURNS, 100 * N_TURNS).by(N_TURNS) {
        let mut python = python();
        python.args(["-c", include_str!("../programs/wandering.py")]);
        // Another seed, another way.
        python.args([1 + round / N_TURNS, N_TURNS].map(|number| number.to_string()));
        let (told, _) = record_by(&checked_agent_library().unwrap(), &ALL, &mut python);
        let [told] = told.into_values().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(told.no_stacks, None, "{name}");
        assert!(told.n_allocations > N_TURNS, "{name}: {}", told.n_allocations);
    }
}

#[test]
fn fault_23_stacks_of_functions_generators_and_threads_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), || interpreter.command());
    }
}

#[test]
fn fault_23_stacks_of_greenlets_are_no_mixtures() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/.cache/wheels/bin/python");
    if python.exists() {
        check("greenlets", || Command::new(&python));
    } else {
        eprintln!("not tested: no greenlet, which `make fixtures` installs in fixtures/.cache/wheels");
    }
}
