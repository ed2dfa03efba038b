//! Captures written, cut off and damaged: what comes back is what went in, or it is said what is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use slackwater_base::Partial;
use slackwater_capture::{
    Allocation, Amount, Asked, Before, Capture, Decoder, Encoder, Ending, FrameKind, Generation, Measure,
    Module, NativeCode, ReadError, Record, ResidentBy, Writer,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", "\\PC{0,20}"]
}

fn address() -> impl Strategy<Value = u64> {
    // Few enough to come back, and some anywhere.
    prop_oneof![(0_u64..64).prop_map(|n| 0x7f00_0000_1000 + n * 16), any::<u64>()]
}

/// Records that carry their length.
fn sized() -> impl Strategy<Value = Record<'static>> {
    let numbers = any::<[u64; 4]>;
    prop_oneof![
        text().prop_map(|name| Record::Mark(name.into())),
        (text(), text()).prop_map(|(key, value)| Record::Fact { key: key.into(), value: value.into() }),
        (numbers(), prop::option::of(0..u64::MAX)).prop_map(
            |([anon_bytes, file_bytes, shmem_bytes, swap_bytes], pss_bytes)| {
                Record::ResidentBy(ResidentBy { anon_bytes, file_bytes, shmem_bytes, swap_bytes, pss_bytes })
            }
        ),
        (numbers(), prop::collection::vec(any::<u8>(), 0..33), text()).prop_map(
            |([start, size, offset, _], build_id, path)| {
                Record::Module(Module { start, size, offset, build_id: build_id.into(), path: path.into() })
            }
        ),
        (text(), text(), numbers()).prop_map(|(holder, class, [bytes, blocks, ..])| {
            Record::Before(Before { holder: holder.into(), class: class.into(), bytes, blocks })
        }),
        (0..Measure::ALL.len() + 1, any::<[u32; 4]>(), any::<u64>()).prop_map(|(how, numbers, n_seen)| {
            let [bytes, count, variance, sample_mean] = numbers.map(|number| f64::from(number) / 3.0);
            let amount = Amount { bytes, count, variance, certain_bytes: 0.0, sample_mean, n_seen };
            Record::Asked(Asked { measure: Measure::ALL.get(how).copied(), allocated: amount })
        }),
        (any::<[u32; 2]>(), any::<[u64; 1]>(), [text(), text(), text()]).prop_map(
            |([id, line], [offset], [function, file, module])| {
                Record::Native(NativeCode {
                    id,
                    function: function.into(),
                    file: file.into(),
                    line,
                    module: module.into(),
                    build_id: vec![1, 2, 3].into(),
                    offset,
                })
            }
        ),
    ]
}

fn record() -> impl Strategy<Value = Record<'static>> {
    let allocation = (
        0..Measure::ALL.len(),
        any::<bool>(),
        address(),
        0_u64..1 << 40,
        any::<u32>(),
        1_u32..9,
    )
        .prop_map(|(measure, sampled, addr, size, stack, tid)| {
            Record::Allocation(Allocation { measure: Measure::ALL[measure], sampled, addr, size, stack, tid })
        });
    prop_oneof![
        8 => allocation,
        6 => (address(), 1_u32..9).prop_map(|(addr, tid)| Record::Free { addr, tid }),
        1 => (address(), any::<u64>()).prop_map(|(addr, size)| Record::Unmapped { addr, size }),
        1 => any::<u64>().prop_map(Record::At),
        1 => any::<u64>().prop_map(Record::Resident),
        1 => any::<u64>().prop_map(Record::Lost),
        1 => any::<u64>().prop_map(Record::Degraded),
        1 => text().prop_map(|why| Record::NoStacks(why.into())),
        1 => (any::<u32>(), any::<u32>(), any::<u32>())
            .prop_map(|(id, parent, location)| Record::Stack { id, parent, location }),
        1 => (any::<u32>(), any::<u32>(), text(), text()).prop_map(|(id, line, function, file)| {
            Record::Location { id, line, function: function.into(), file: file.into() }
        }),
        1 => (any::<u32>(), text()).prop_map(|(tid, name)| Record::Thread { tid, name: name.into() }),
        1 => (any::<u32>(), 1_u32..5, any::<u64>(), text()).prop_map(
            |(pid, parent, sample_mean, program)| Record::Born {
                pid, parent: Some(Generation(parent)), sample_mean,
                program: program.into(),
            }
        ),
        1 => sized(),
        1 => (0_usize..5, any::<u32>()).prop_map(|(how, value)| Record::Ended(
            [Ending::Gone, Ending::Exit(value), Ending::Signal(value), Ending::Exec, Ending::Outlived][how]
        )),
    ]
}

/// A capture with a frame for each list.
fn written(frames: &[Vec<Record<'static>>]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), 5, 7).unwrap();
    let mut encoder = Encoder::default();
    for (idx, records) in frames.iter().enumerate() {
        records.iter().for_each(|record| encoder.put(record));
        let ns = idx as u64 * 10;
        writer.records(Generation(idx as u32 + 1), ns, ns + 9, &mut encoder).unwrap();
    }
    writer.end(99).unwrap()
}

fn open(bytes: &[u8]) -> Result<Partial<Capture<Cursor<&[u8]>>>, ReadError> {
    Capture::from_reader(Path::new("test.slackwater"), Cursor::new(bytes))
}

/// What can be read of it, and whether anything is said to be missing.
fn read(bytes: &[u8]) -> (Vec<(Generation, Record<'static>)>, bool) {
    let mut opened = open(bytes).unwrap();
    let mut records = Vec::new();
    let gaps = opened
        .value
        .play(|generation, record| records.push((generation, record.clone().into_owned())))
        .unwrap();
    (records, !gaps.is_empty() || !opened.gaps.is_empty())
}

fn expected(frames: &[Vec<Record<'static>>]) -> Vec<(Generation, Record<'static>)> {
    let of = |(idx, records): (usize, &Vec<Record<'static>>)| {
        records.clone().into_iter().map(move |record| (Generation(idx as u32 + 1), record))
    };
    frames.iter().enumerate().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_written_comes_back(frames in prop::collection::vec(prop::collection::vec(record(), 1..60), 0..5)) {
        let (records, incomplete) = read(&written(&frames));
        prop_assert_eq!(records, expected(&frames));
        prop_assert!(!incomplete);
    }

    #[test]
    fn bytes_of_any_kind_are_decoded_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let n_records = Decoder::new(&bytes).count();
        prop_assert!(n_records <= bytes.len());
    }
}

/// A small capture with several processes.
fn sample() -> (Vec<u8>, Vec<Vec<Record<'static>>>) {
    let frames: Vec<Vec<Record<'static>>> = (0..4_u32)
        .map(|n| {
            let event = |k: u64| {
                let addr = 0x5555_0000_0000 + k % 7 * 48;
                [
                    Record::Allocation(Allocation {
                        measure: Measure::Malloc,
                        sampled: false,
                        addr,
                        size: 32 + k,
                        stack: n,
                        tid: 1,
                    }),
                    Record::Free { addr, tid: 1 },
                ]
            };
            let born = Record::Born { pid: 100 + n, parent: None, sample_mean: 0, program: "python3".into() };
            [born].into_iter().chain((0..20).flat_map(event)).collect()
        })
        .collect();
    (written(&frames), frames)
}

#[test]
fn fault_29_every_prefix_opens_and_gives_a_prefix() {
    let (whole, frames) = sample();
    let all = expected(&frames);
    let mut longest = 0;
    for cut in 1..whole.len() {
        let (records, incomplete) = read(&whole[..cut]);
        assert!(incomplete, "cut at {cut}: nothing is said to be missing");
        assert_eq!(records[..], all[..records.len()], "cut at {cut}");
        assert!(records.len() >= longest, "cut at {cut}: less than of a shorter prefix");
        longest = records.len();
    }
    assert_eq!(longest, all.len());
    assert_eq!(read(&whole), (all, false));
}

#[test]
fn fault_30_a_damaged_byte_costs_its_frame_only() {
    let (whole, frames) = sample();
    let all = expected(&frames);
    let per_frame = frames[0].len();
    for at in 8..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let (records, incomplete) = read(&damaged);
            assert!(incomplete, "byte {at}: nothing is said to be missing");
            assert!(records.len() >= all.len() - per_frame, "byte {at}: {} records left", records.len());
            assert!(
                records.iter().all(|record| all.contains(record)),
                "byte {at}: a record that was not there"
            );
        }
    }
}

#[test]
fn other_files_are_refused() {
    assert!(matches!(open(b"\x7fELF").unwrap_err(), ReadError::NotACapture { .. }));
    assert!(matches!(open(b"slackcat").unwrap_err(), ReadError::NotACapture { .. }));
    assert!(matches!(open(b"").unwrap_err(), ReadError::Empty { .. }));
}

#[test]
fn fault_39_captures_of_every_version_open() {
    // Written by scripts/golden-captures of the release that had this version, and kept from then on.
    let check = |name: &str, bytes: &[u8]| -> usize {
        let (records, incomplete) = read(bytes);
        assert!(!incomplete, "{name}");
        let records: Vec<_> = records.into_iter().map(|one| one.1).collect();
        let has = |wanted: &dyn Fn(&Record<'_>) -> bool| records.iter().filter(|one| wanted(one)).count();
        assert_eq!(has(&|record| matches!(record, Record::Born { .. })), 2, "{name}");
        assert_eq!(has(&|record| *record == Record::Ended(Ending::Exit(7))), 1, "{name}");
        for wanted in ["keep", "drop"] {
            let is_there = |record: &Record<'_>| matches!(record, Record::Location { function, .. } if function == wanted);
            assert!(has(&is_there) > 0, "{name}: {wanted} is missing");
        }
        has(&|record| matches!(record, Record::Allocation(one) if (9000..9100).contains(&one.size)))
    };
    for (name, exact, sampled) in [
        (
            "version 1",
            &include_bytes!("golden/version-1-exact.slackwater")[..],
            &include_bytes!("golden/version-1-sampled.slackwater")[..],
        ),
        (
            "version 2",
            include_bytes!("golden/version-2-exact.slackwater"),
            include_bytes!("golden/version-2-sampled.slackwater"),
        ),
    ] {
        assert_eq!(check(name, exact), 40, "{name}");
        let n_sampled = check(name, sampled);
        assert!((1..40).contains(&n_sampled), "{name}: {n_sampled}");
    }
    // Of what became sums, no allocations are left.
    assert_eq!(check("sums", include_bytes!("golden/version-2-sums.slackwater")), 0);
}

#[test]
fn frames_are_found_by_time() {
    let (whole, _) = sample();
    let capture = open(&whole).unwrap().value;
    let of = |from, to| capture.index().between(from, to).map(|frame| frame.header.generation.0).collect();
    let check = |from, to, expected: &[u32]| {
        let found: Vec<u32> = of(from, to);
        assert_eq!(found, expected, "{from}..{to}");
    };
    check(0, 99, &[1, 2, 3, 4]);
    check(12, 21, &[2, 3]);
    check(40, 50, &[]);
    assert_eq!(capture.index().frames.last().unwrap().header.kind, FrameKind::End);
    assert_eq!(capture.anchor().unwrap().wall_ns, 5);
}

#[test]
fn exact_events_take_at_most_two_bytes() {
    // Blocks of ten stacks and some sizes, mostly freed soon, some kept: as an allocator hands them out.
    let mut encoder = Encoder::default();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut live: Vec<u64> = Vec::new();
    let mut fresh = 0x5555_0000_0000;
    let mut free: Vec<u64> = Vec::new();
    let n_events = 200_000;
    for _ in 0..n_events {
        if live.len() > 40 && random(2) == 0 {
            let reach = if random(8) == 0 { 40 } else { 4 };
            let back = random(reach) as usize;
            let addr = live.remove(live.len() - 1 - back);
            free.push(addr);
            encoder.put(&Record::Free { addr, tid: 1 });
        } else {
            let size = 32 << random(4);
            let addr = free.pop().unwrap_or_else(|| {
                fresh += size + 16;
                fresh
            });
            live.push(addr);
            let stack = 100 + random(10) as u32;
            let measure = Measure::Malloc;
            encoder.put(&Record::Allocation(Allocation {
                measure,
                sampled: false,
                addr,
                size,
                stack,
                tid: 1,
            }));
        }
    }
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    writer.records(Generation(1), 0, 1, &mut encoder).unwrap();
    let bytes = writer.end(2).unwrap().len();
    assert!(bytes <= 2 * n_events, "{:.2} bytes per event", bytes as f64 / n_events as f64);
}
