//! The child of a fork: its page map is its own, though its block may still be its parent's.

use slackwater_base::Pid;

use crate::held::{Walked, books, program};

#[test]
fn a_forked_child_has_books_of_its_own() {
    let program = program("jemalloc_fork", include_str!("../planted/jemalloc_fork.c"));
    let mut parent = program.spawn().unwrap();
    let child = Pid(parent.greeting().parse().unwrap());
    let walked = Walked::of(child);
    assert_eq!(walked.gaps, []);
    let said = books(&mut parent);
    assert_eq!(walked.totals.allocated_bytes, said.allocated_bytes);
    assert_eq!(walked.totals.active_bytes, said.active_bytes);
    assert_eq!(walked.totals.dirty_bytes, said.dirty_bytes);
    assert!(walked.totals.allocated_bytes < Walked::of(parent.pid()).totals.allocated_bytes);
}
