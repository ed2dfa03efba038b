//! What goes on inside a process while it is recorded: signals, jumps, small stacks, many threads.

use slackwater_collect::{Collector, Options};
use slackwater_testkit::{Program, Target};

use crate::recording::{EXACT, SAMPLED, Told, program, read, under, while_turning};

/// Starts a program, asks it once, and gives its answer and what was recorded up to its end.
fn asked(options: &Options, program: &Program) -> (String, Told) {
    let mut collector = Collector::begin(options, Vec::new()).unwrap();
    let program = under(&collector, program);
    let (answer, status) = while_turning(&mut collector, || {
        let mut target: Target = program.spawn().unwrap();
        let answer = target.ask("go").unwrap();
        (answer, target.finish().unwrap())
    });
    assert!(status.success(), "{status}");
    let (_, bytes) = collector.end().unwrap();
    let (mut told, gaps) = read(&bytes);
    assert_eq!(gaps, []);
    assert_eq!(told.len(), 1);
    (answer, told.pop_first().unwrap().1)
}

#[test]
fn fault_43_every_function_of_the_family_is_seen_with_its_size() {
    let (answer, told) = asked(&EXACT, &program!("family"));
    let addresses: Vec<u64> = answer
        .split_whitespace()
        .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    let sizes: Vec<Option<u64>> = addresses.iter().map(|addr| told.live.get(addr).copied()).collect();
    // The block whose realloc failed is still there, with what it can hold.
    assert!(sizes[0].is_some_and(|size| (10_001..10_100).contains(&size)), "{sizes:?}");
    let expected =
        [30_006, 20_003, 10_004, 10_005, 10_048, 10_006, 10_007, 10_008, 20_018, 3 << 20].map(Some);
    assert_eq!(sizes[1..], expected);
    assert!(answer.ends_with(" 1"), "{answer}");
    assert!(told.live.values().all(|size| ![10_003, 10_010, 10_011].contains(size)));
    assert_eq!(told.no_stacks.as_deref(), Some("no CPython is loaded with the program"));
}

#[test]
fn fault_43_an_address_is_never_handed_out_twice_without_a_free() {
    let (_, told) = asked(&EXACT, &program!("handover"));
    assert!(told.n_allocations > 160_000, "{}", told.n_allocations);
    assert_eq!((told.n_doubled, told.n_lost, told.degraded), (0, 0, false));
    assert!(told.live.len() < 100, "{} blocks left", told.live.len());
}

#[test]
fn fault_20_signals_that_allocate_and_jump_out_of_hooks() {
    let (answer, told) = asked(&EXACT, &program!("signals"));
    let words: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(words[..2], ["0", "1"], "errno was changed, or no signal came");
    // The thread is still recorded, although hooks were left in the middle.
    let addr = u64::from_str_radix(words[2].trim_start_matches("0x"), 16).unwrap();
    assert_eq!(told.live.get(&addr), Some(&654_321));
}

#[test]
fn fault_23_the_smallest_stacks_are_large_enough() {
    for options in [&EXACT, &SAMPLED] {
        let (answer, told) = asked(options, &program!("small_stacks"));
        assert_eq!(answer, "200");
        assert!(told.n_allocations > 1000, "{}", told.n_allocations);
        assert!(told.threads.len() > 20, "{:?}", told.threads);
    }
}
