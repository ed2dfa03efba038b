//! Captures that were made to harm: small files that claim much, and stacks that never end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{Allocation, Capture, Encoder, Generation, Measure, Record, Writer};
use slackwater_profile::{Profile, Window};

/// Most memory that a hostile file may cost.
const MEMORY_KB: u64 = 2 << 20;

/// Most memory that this process has had.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A capture with as many records as fit in `n_frames` frames, each made of its number.
fn packed(n_frames: u64, per_frame: u64, record: impl Fn(u64) -> Record<'static>) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    let mut encoder = Encoder::default();
    for frame in 0..n_frames {
        for number in 0..per_frame {
            encoder.put(&record(frame * per_frame + number));
        }
        writer.records(Generation(1), 1, 2, &mut encoder).unwrap();
    }
    writer.end(3).unwrap()
}

fn read(bytes: &[u8]) -> Partial<Profile> {
    Profile::of(Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap(), Window::default())
        .unwrap()
}

fn allocation(addr: u64, stack: u32) -> Record<'static> {
    Record::Allocation(Allocation { measure: Measure::Malloc, sampled: false, addr, size: 16, stack, tid: 1 })
}

#[test]
fn fault_30_a_small_file_with_millions_of_blocks_costs_bounded_memory() {
    let n_blocks = 20 * 700_000;
    let bytes = packed(20, 700_000, |number| allocation(0x1000 + number * 16, 1));
    assert!(bytes.len() < 100_000, "{} bytes", bytes.len());
    let profile = read(&bytes);
    assert!(profile.gaps.iter().any(|gap| gap.subject.contains("blocks")), "{:?}", profile.gaps);
    let total = profile.value.total();
    assert_eq!(total.allocated.count, n_blocks as f64, "each is counted");
    assert!(total.live.count > 10e6 && total.live.count < total.allocated.count);
    assert!(peak_kb() < MEMORY_KB, "{} kB", peak_kb());
}

#[test]
fn fault_30_stacks_that_call_each_other_for_ever_end() {
    let records = [
        Record::Stack { id: 1, parent: 2, location: 7 },
        Record::Stack { id: 2, parent: 1, location: 7 },
        Record::Stack { id: 3, parent: 3, location: 7 },
        allocation(0x10, 1),
        allocation(0x20, 2),
        allocation(0x30, 3),
    ];
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    let mut encoder = Encoder::default();
    records.iter().for_each(|record| encoder.put(record));
    writer.records(Generation(1), 1, 2, &mut encoder).unwrap();
    let profile = read(&writer.end(3).unwrap()).value;
    assert_eq!(profile.total().live.bytes, 48.0);
    let deepest = profile.by_stack().into_keys().map(|stack| profile.stacks.frames(stack).count()).max();
    assert_eq!(deepest, Some(2));
}

#[test]
fn fault_30_a_small_file_with_millions_of_stacks_costs_bounded_memory() {
    let stacks = packed(24, 400_000, |number| {
        let id = number as u32 + 1;
        Record::Stack { id, parent: id - 1, location: 1 }
    });
    assert!(stacks.len() < 30_000_000, "{} bytes", stacks.len());
    let profile = read(&stacks);
    assert!(profile.gaps.iter().any(|gap| gap.subject.contains("stacks")), "{:?}", profile.gaps);
    let parts = packed(6, 600_000, |number| allocation(0x1000, number as u32));
    let profile = read(&parts);
    assert!(profile.gaps.iter().any(|gap| gap.subject.contains("stacks")), "{:?}", profile.gaps);
    assert_eq!(profile.value.total().allocated.count, 3_600_000.0, "each is counted");
    assert!(peak_kb() < MEMORY_KB, "{} kB", peak_kb());
}

/// Each block from the next of stacks that are called one by the other, and each of those by itself.
#[test]
fn fault_30_no_stack_is_deeper_than_agents_write_them() {
    let n_stacks = 50_000;
    let deeper = packed(1, 2 * n_stacks, |number| match (number < n_stacks, number as u32 + 1) {
        (true, id) => Record::Stack { id, parent: id - 1, location: 1 },
        (false, id) => allocation(u64::from(id), id - n_stacks as u32),
    });
    let profile = read(&deeper).value;
    let deepest = profile.by_stack().into_keys().map(|stack| profile.stacks.frames(stack).count()).max();
    assert_eq!((deepest, profile.stacks.len()), (Some(10_000), 10_000));
    assert_eq!(profile.total().live.count, n_stacks as f64);
    let circular = packed(1, 3 * n_stacks, |number| match number / n_stacks {
        0 => {
            let id = number as u32 + 1;
            Record::Location { id, line: id, function: "f".into(), file: "it.py".into() }
        }
        1 => {
            let id = (number - n_stacks) as u32 + 1;
            Record::Stack { id, parent: id, location: id }
        }
        _ => allocation(number, (number - 2 * n_stacks) as u32 + 1),
    });
    let profile = read(&circular).value;
    assert_eq!(profile.stacks.len(), n_stacks as usize);
    assert!(peak_kb() < MEMORY_KB, "{} kB", peak_kb());
}
