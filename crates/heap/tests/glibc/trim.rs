//! What `malloc_trim(0)` gives back is predicted to the page.

use slackwater_base::PinReason;
use slackwater_heap::ArenaKind;
use slackwater_testkit::Target;

use crate::held::{Walked, program};

const SHAPES: [&str; 10] = [
    "large-holes",
    "small-holes",
    "page-holes",
    "top",
    "fast",
    "fast-to-top",
    "arenas",
    "tops",
    "realloc",
    "partly-touched",
];

#[test]
fn predictions_come_true() {
    for shape in SHAPES {
        let program = program("shapes", include_str!("../planted/shapes.c")).arg(shape);
        check(program.spawn().unwrap(), shape);
    }
}

/// Transparent huge pages make the top go in steps of 2 MiB.
#[test]
fn huge_pages_are_kept_whole() {
    for shape in ["top", "large-holes"] {
        let program = program("shapes", include_str!("../planted/shapes.c")).arg(shape);
        check(program.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1").spawn().unwrap(), shape);
    }
}

/// Settings of the environment that change when memory goes back by itself.
#[test]
fn settings_change_what_is_left_to_trim() {
    let trimmable = |name: &str, value: &str| {
        let program = program("shapes", include_str!("../planted/shapes.c")).arg("top");
        let target = program.env(name, value).spawn().unwrap();
        let bytes = Walked::whole(&target).trimmable_bytes();
        check(target, value);
        bytes
    };
    assert!(trimmable("MALLOC_TRIM_THRESHOLD_", "131072") < 1 << 20, "free has lowered the break");
    assert!(trimmable("MALLOC_TRIM_THRESHOLD_", "1000000000") > 40 << 20);
    assert!(trimmable("MALLOC_TOP_PAD_", "16000000") > 15 << 20, "the padding is given back, too");
}

fn check(mut target: Target, shape: &str) {
    let before = Walked::whole(&target);
    let rss_before = rss_bytes(&target);
    target.ask("trim").unwrap();
    let after = Walked::whole(&target);
    let given_back = before.heap.ledger.total().process - after.heap.ledger.total().process;
    assert_eq!(before.trimmable_bytes(), given_back, "{shape}");
    assert_eq!(after.trimmable_bytes(), 0, "{shape}, after a trim");
    // The kernel's own figure agrees but for the pages of code and stack that trimming touches.
    let rss_after = rss_bytes(&target);
    let left = rss_before - given_back;
    assert!(rss_after.abs_diff(left) <= 16 << 10, "{shape}: {rss_before} to {rss_after} of RSS");
}

#[test]
fn tops_that_a_trim_leaves_are_told() {
    let mut target = program("shapes", include_str!("../planted/shapes.c")).arg("tops").spawn().unwrap();
    target.ask("trim").unwrap();
    let walked = Walked::whole(&target);
    let tops = walked.heap.pinned_by[PinReason::Tops].process;
    let returnable: u64 = walked
        .heap
        .arenas
        .iter()
        .filter(|arena| arena.kind == ArenaKind::Secondary)
        .map(|arena| arena.glibc.unwrap().top.unwrap().returnable.process)
        .sum();
    assert!(returnable > 60 << 20, "{returnable} bytes in the tops of four arenas");
    // Of each arena's top the page with its header stays.
    assert!(tops - returnable <= 5 * 2 * 4096, "{tops} bytes, {returnable} of them returnable");
}

/// RSS as the kernel has it at this moment; `status` and `statm` lag behind.
fn rss_bytes(target: &Target) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", target.pid())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
