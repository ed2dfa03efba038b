//! The small files of /proc/PID, all from the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_procfs::{Membership, MemoryGroup, Mounts, Stat, Status, Syscall};

fuzz_target!(|text: &[u8]| {
    let _ = Stat::parse(text);
    let status = Status::parse(text);
    assert!(status.ns_pids.len() <= text.len());
    let _ = status.innermost_pid();
    let _ = Syscall::parse(text);
    let mounts = Mounts::read(text).expect("reads of our own memory");
    let _ = MemoryGroup::locate(&Membership::parse(text), &mounts);
});
