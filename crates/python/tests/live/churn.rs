//! A target that runs flat out: what is reported as live is what it holds, within what is reported
//! as unexplained and what the threads can hold at once.

use std::collections::HashSet;

use slackwater_base::Class;
use slackwater_heap::pymalloc;
use slackwater_python::find;
use slackwater_testkit::{Program, interpreters};

use crate::planted::open;

/// Three threads, each with two batches of 2,500 objects of at most 512 bytes.
const MOST_CHURNED: u64 = 3 * 2 * 2500 * 512;
/// What a started interpreter holds, generously.
const MOST_OF_ITS_OWN: u64 = 6_000_000;
const WALKS: u32 = 4;

#[test]
fn fault_41_a_running_target_is_read_within_the_bounds_that_are_printed() {
    // One of each release: builds of one release race alike.
    let mut minors = HashSet::new();
    for interpreter in interpreters().iter().filter(|one| !one.is_free_threaded()) {
        if !minors.insert(interpreter.version().1) {
            continue;
        }
        let program = Program::python(interpreter, "churn", include_str!("programs/churn.py")).unwrap();
        let target = program.spawn().unwrap();
        let held = target.greeting_numbers()[0];
        let (mut retries, mut unexplained) = (0, 0);
        for _ in 0..WALKS {
            let live = open(&target);
            let python = find(&live, &live).unwrap().expect("a python").value;
            let walked = pymalloc::walk(&live, &python.pymalloc[0]).unwrap();
            let heap = walked.value;
            let lost = heap.ledger[Class::Unexplained].process;
            assert!(lost == 0 || !walked.gaps.is_empty());
            assert!(heap.live.bytes + lost >= held, "{interpreter}: {} + {lost} of {held}", heap.live.bytes);
            assert!(heap.live.bytes <= held + MOST_CHURNED + MOST_OF_ITS_OWN, "{interpreter}");
            for arena in &heap.arenas {
                assert!(arena.ledger.total().process <= arena.mapped_bytes);
            }
            retries += heap.arenas.iter().map(|arena| arena.retries).sum::<u32>();
            unexplained += lost;
        }
        eprintln!(
            "{interpreter}: {retries} retries, {} kB unexplained per walk",
            unexplained / u64::from(WALKS) / 1000
        );
    }
}
