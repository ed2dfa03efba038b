//! /proc/PID/maps: mappings come out sorted and disjoint, and no more than there are lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_procfs::{Mounts, parse_maps_line, read_maps};

fuzz_target!(|text: &[u8]| {
    // What precedes the first NUL is a mount table, which decides what is shared memory.
    let (table, text) = text.split_at(text.iter().position(|byte| *byte == 0).unwrap_or(0));
    let mounts = Mounts::read(table).expect("reads of our own memory");
    let n_lines = text.split(|byte| *byte == b'\n').count();
    let _ = parse_maps_line(text, &mounts);
    if let Ok(mappings) = read_maps(text, &mounts) {
        assert!(mappings.len() <= n_lines);
        assert!(mappings.is_sorted_by(|one, next| one.range.end <= next.range.start));
    }
});
