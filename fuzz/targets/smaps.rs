//! /proc/PID/smaps: no more mappings than lines, and figures that can be added up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_procfs::SmapsReader;

fuzz_target!(|text: &[u8]| {
    let n_lines = text.split(|byte| *byte == b'\n').count();
    let mut n_mappings = 0;
    for usage in SmapsReader::new(text) {
        n_mappings += 1;
        if let Ok(usage) = usage {
            let _ = usage.private_bytes();
        }
    }
    assert!(n_mappings <= n_lines);
});
