//! Python's small objects in the library's pools: to jemalloc whole blocks, to a walk what their headers say.

use slackwater_base::Class;
use slackwater_testkit::{Program, allocator_library, interpreters};

use crate::held::Walked;

const SCATTERED: &str = r#"
objects = ["%060d" % number for number in range(400_000)]
if keep > 1:
    objects = objects[::keep]
ready()
serve()
"#;

/// Live bytes, and those pinned, in millions, of a process that keeps one of so many strings.
fn walked(keep: u32) -> (u64, u64) {
    let python = interpreters().iter().find(|one| one.is_plain()).expect("a Python");
    let program = Program::python(python, "pools", &format!("keep = {keep}\n{SCATTERED}")).unwrap();
    let library = allocator_library().expect("the library");
    let program = program.env("LD_PRELOAD", library).env("SLACKWATER_GOVERNOR", "off");
    let target = program.env("PYTHONMALLOC", "").spawn().unwrap();
    let walked = Walked::new(&target);
    assert!(walked.gaps.is_empty(), "{:?}", walked.gaps);
    let pinned = walked.heap.ledger[Class::SlackPinned].process;
    (walked.heap.live.bytes / 1_000_000, pinned / 1_000_000)
}

#[test]
fn free_blocks_beside_survivors_are_pinned_and_not_live() {
    // A string of 60 characters is a block of 112 bytes.
    let (live, pinned) = walked(1);
    assert!((48..65).contains(&live) && pinned < 4, "{live} MB live, {pinned} MB pinned");
    let (live, pinned) = walked(40);
    assert!(live < 20 && (38..48).contains(&pinned), "{live} MB live, {pinned} MB pinned");
}
