//! Python's small objects in the library's pools, which jemalloc does not know: a walk reads their headers.

use slackwater_base::Class;
use slackwater_testkit::{Program, allocator_library, interpreters};

use crate::held::Walked;

const SCATTERED: &str = r#"
objects = ["%060d" % number for number in range(400_000)]
if keep != 1:
    objects = objects[::keep] if keep else []
ready()
serve()
"#;

/// Live bytes, those pinned, and those that a purge would give back, in millions, of a process that keeps one of
/// so many strings; of 0, none.
fn walked(keep: u32) -> (u64, u64, u64) {
    let python = interpreters().iter().find(|one| one.is_plain()).expect("a Python");
    let program = Program::python(python, "pools", &format!("keep = {keep}\n{SCATTERED}")).unwrap();
    let library = allocator_library().expect("the library");
    let program = program.env("LD_PRELOAD", library).env("SLACKWATER_GOVERNOR", "off");
    let target = program.env("PYTHONMALLOC", "").spawn().unwrap();
    let walked = Walked::new(&target);
    assert!(walked.gaps.is_empty(), "{:?}", walked.gaps);
    let slack = |class| walked.heap.ledger[class].process / 1_000_000;
    (walked.heap.live.bytes / 1_000_000, slack(Class::SlackPinned), slack(Class::SlackTrimmable))
}

#[test]
fn fault_43_free_blocks_beside_survivors_are_pinned_and_not_live() {
    // A string of 60 characters is a block of 112 bytes.
    let (live, pinned, _) = walked(1);
    assert!((48..65).contains(&live) && pinned < 4, "{live} MB live, {pinned} MB pinned");
    let (live, pinned, _) = walked(40);
    assert!(live < 20 && (38..48).contains(&pinned), "{live} MB live, {pinned} MB pinned");
}

#[test]
fn fault_43_pools_that_hold_nothing_are_trimmable() {
    let (live, pinned, trimmable) = walked(0);
    // Without a governor up to 16 MiB of pools lie unused, and what jemalloc keeps of the list comes on top.
    assert!(live < 12 && pinned < 4, "{live} MB live, {pinned} MB pinned");
    assert!((8..32).contains(&trimmable), "{trimmable} MB trimmable");
}
