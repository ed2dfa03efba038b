//! The facts about this machine and process that decide which hazards there are.

use std::fs;

use rustix::process::Resource;
use slackwater_base::Bytes;
use slackwater_tune::hazards::{self, Surroundings};

/// The facts. One that cannot be read is taken for harmless.
pub(super) fn read() -> Surroundings {
    Surroundings {
        overcommits_strictly: reads("/proc/sys/vm/overcommit_memory", |text| text.trim() == "2"),
        address_space_limit: rustix::process::getrlimit(Resource::As).current.map(Bytes),
        huge_pages_always: reads("/sys/kernel/mm/transparent_hugepage/enabled", hazards::huge_pages_always),
    }
}

fn reads(path: &str, says: impl Fn(&str) -> bool) -> bool {
    fs::read_to_string(path).is_ok_and(|text| says(&text))
}
