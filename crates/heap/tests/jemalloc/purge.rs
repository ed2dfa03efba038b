//! What a purge gives back is predicted to the page.

use slackwater_base::Class;

use crate::held::{Walked, program};

const MIXED: &str = include_str!("../planted/jemalloc_mixed.c");

#[test]
fn predictions_come_true() {
    for options in ["dirty_decay_ms:-1", "dirty_decay_ms:-1,narenas:4", "dirty_decay_ms:1,muzzy_decay_ms:-1"]
    {
        let mut target = program("jemalloc_mixed", MIXED).env("MALLOC_CONF", options).spawn().unwrap();
        let before = Walked::whole(&target);
        let rss_before = rss_bytes(&target);
        target.ask("purge").unwrap();
        let after = Walked::whole(&target);
        let given_back = before.heap.ledger.total().process - after.heap.ledger.total().process;
        let predicted = before.bytes(Class::SlackTrimmable);
        assert!(predicted > 1 << 20, "{options}: there is something to give back");
        assert_eq!(predicted, given_back, "{options}");
        assert_eq!(after.bytes(Class::SlackTrimmable), 0, "{options}, after a purge");
        let rss_after = rss_bytes(&target);
        assert!(
            rss_after.abs_diff(rss_before - given_back) <= 32 << 10,
            "{options}: {rss_before} to {rss_after}"
        );
    }
}

/// RSS as the kernel has it at this moment; `status` and `statm` lag behind.
fn rss_bytes(target: &slackwater_testkit::Target) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", target.pid())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
