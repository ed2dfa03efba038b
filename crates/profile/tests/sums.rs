//! Captures written anew with sums: they come to what the records came to, and say when they cannot tell.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{
    Allocation, Capture, Encoder, Ending, Generation, Measure, NativeCode, Record, Writer,
};
use slackwater_profile::{Estimate, Profile, Window, compact};

/// How blocks are asked for.
const HOW: [Measure; 4] = [Measure::Malloc, Measure::Realloc, Measure::Mem, Measure::Object];
const SECOND_NS: u64 = 1_000_000_000;

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 29) % most
    }
}

/// A capture of several processes for two minutes; the later ones are born while it goes on, and some end.
/// Frames of half a second, as recorders write them.
fn recorded(seed: u64, sample_mean: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut writer = Writer::begin(Vec::new(), 7, 0).unwrap();
    let mut encoder = Encoder::default();
    encoder.put(&Record::At(0));
    encoder.put(&Record::Fact { key: "kernel".into(), value: "6.1".into() });
    writer.records(Generation::RECORDING, 0, 0, &mut encoder).unwrap();
    let n_processes = 30;
    let mut live: Vec<Vec<u64>> = vec![Vec::new(); n_processes];
    for half in 0..240 {
        let begin_ns = half * SECOND_NS / 2 + 1;
        for (number, live) in live.iter_mut().enumerate() {
            let (born, ends) = (number as u64 * 5, number as u64 * 5 + 9);
            let is_server = number < 2;
            if half < born || (!is_server && half > ends) {
                continue;
            }
            let mut now_ns = begin_ns + random.below(SECOND_NS / 8);
            let first_ns = now_ns;
            encoder.put(&Record::At(now_ns));
            if half == born {
                define(&mut encoder, number as u32, sample_mean);
            }
            for _ in 0..random.below(60) {
                now_ns += random.below(SECOND_NS / 200);
                encoder.put(&Record::At(now_ns));
                encoder.put(&event(&mut random, live, sample_mean));
            }
            encoder.put(&Record::Resident(random.below(1 << 30)));
            if half % 50 == 3 {
                encoder.put(&Record::Lost(number as u64));
            }
            if !is_server && half == ends {
                encoder.put(&Record::Ended(Ending::Exit(0)));
            }
            writer.records(Generation(number as u32 + 1), first_ns, now_ns, &mut encoder).unwrap();
        }
        if half % 60 == 10 {
            encoder.put(&Record::At(begin_ns));
            encoder.put(&Record::Mark(format!("mark {half}").into()));
            writer.records(Generation::RECORDING, begin_ns, begin_ns, &mut encoder).unwrap();
        }
    }
    writer.leave()
}

fn define(encoder: &mut Encoder, number: u32, sample_mean: u64) {
    let program = if number.is_multiple_of(3) { "python3" } else { "sh" };
    let parent = (number > 1).then_some(Generation(1));
    encoder.put(&Record::Born { pid: 100 + number, parent, sample_mean, program: program.into() });
    for id in 1..=6 {
        let (function, file) = (format!("f{}", id + number % 2).into(), "it.py".into());
        encoder.put(&match id {
            6 => Record::Native(NativeCode {
                id,
                function: "malloc_consumer".into(),
                file: "".into(),
                line: 0,
                module: "/lib/libit.so".into(),
                build_id: vec![1, 2].into(),
                offset: 64,
            }),
            _ => Record::Location { id, line: id, function, file },
        });
        encoder.put(&Record::Stack { id, parent: id / 2, location: id });
    }
    encoder.put(&Record::Thread { tid: 1, name: "main".into() });
}

fn event(random: &mut Random, live: &mut Vec<u64>, sample_mean: u64) -> Record<'static> {
    let tid = 1 + random.below(80) as u32;
    match random.below(10) {
        0..=5 => {
            let addr = 0x1000 * (1 + random.below(4000));
            live.push(addr);
            let is_mapping = random.below(8) == 0;
            Record::Allocation(Allocation {
                measure: if is_mapping { Measure::Mapping } else { HOW[tid as usize % HOW.len()] },
                sampled: sample_mean > 0 && !is_mapping,
                addr: if is_mapping { addr + (1 << 40) } else { addr },
                size: if is_mapping { 0x3000 } else { 1 + random.below(100_000) },
                stack: random.below(7) as u32,
                tid,
            })
        }
        6 => Record::Unmapped { addr: (1 << 40) + 0x1000 * random.below(4000), size: 0x2000 },
        _ if live.is_empty() => Record::Free { addr: 0x10, tid },
        _ => Record::Free { addr: live.swap_remove(random.below(live.len() as u64) as usize), tid },
    }
}

fn open(bytes: &[u8]) -> Partial<Capture<Cursor<&[u8]>>> {
    Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap()
}

fn profile(bytes: &[u8], window: Window) -> Profile {
    Profile::of(open(bytes), window).unwrap().value
}

/// All totals: of every stack, and of every process that is told apart.
fn totals(profile: &Profile) -> Vec<(String, [Estimate; 3])> {
    let name = |stack| {
        let frames = profile.stacks.frames(stack);
        frames
            .map(|frame| format!("{} {}:{}", frame.function, frame.file, frame.line))
            .collect::<Vec<_>>()
            .join(" < ")
    };
    let usage = |usage: slackwater_profile::Usage| [usage.allocated, usage.live, usage.peak];
    let mut all: Vec<_> =
        profile.by_stack().into_iter().map(|(stack, one)| (name(stack), usage(one))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.push(("all".to_owned(), usage(profile.total())));
    all
}

fn assert_same(before: &Profile, after: &Profile) {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    let (expected, found) = (totals(before), totals(after));
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (found_name, found)) in expected.iter().zip(&found) {
        assert_eq!(name, found_name);
        for (which, (a, b)) in ["allocated", "live", "peak"].iter().zip(expected.iter().zip(found)) {
            let is_same = near(a.bytes, b.bytes)
                && near(a.count, b.count)
                && near(a.variance(), b.variance())
                && near(a.certain_bytes(), b.certain_bytes());
            assert!(is_same, "{which} of {name}: {a:?}, with sums {b:?}");
            assert_eq!(a.is_exact(), b.is_exact(), "{which} of {name}");
        }
    }
    let [asked, found] = [before, after].map(|profile| profile.asked().all().collect::<Vec<_>>());
    assert_eq!(asked.len(), HOW.len() + 1, "{asked:?}");
    assert_eq!(asked.len(), found.len(), "{found:?}");
    for ((how, a), (found_how, b)) in asked.iter().zip(&found) {
        let is_same = near(a.bytes, b.bytes)
            && near(a.count, b.count)
            && near(a.variance(), b.variance())
            && near(a.certain_bytes(), b.certain_bytes());
        assert!(how == found_how && is_same && a.n_seen == b.n_seen, "{how:?}: {a:?}, with sums {b:?}");
    }
    assert!(near(before.peak.bytes, after.peak.bytes));
    assert_eq!(before.peak.at_ns, after.peak.at_ns);
    let sum = |of: fn(&slackwater_profile::ProcessProfile) -> u64, profile: &Profile| {
        profile.processes.iter().map(of).sum::<u64>()
    };
    assert_eq!(sum(|one| one.n_events, before), sum(|one| one.n_events, after));
    assert_eq!(sum(|one| one.n_lost, before), sum(|one| one.n_lost, after));
    assert_eq!(sum(|one| one.n_processes, before), sum(|one| one.n_processes, after));
    assert_eq!((&before.marks, before.span_ns, before.anchor), (&after.marks, after.span_ns, after.anchor));
    for one in &after.processes {
        let Some(was) = before.processes.iter().find(|was| was.generation == one.generation) else {
            continue;
        };
        if one.n_processes == 1 {
            assert_eq!((was.pid, was.parent, was.ending), (one.pid, one.parent, one.ending));
            assert_eq!(
                (was.resident_bytes, was.resident_peak_bytes),
                (one.resident_bytes, one.resident_peak_bytes)
            );
            assert_eq!((was.span_ns, &was.threads), (one.span_ns, &one.threads), "of {}", one.pid);
            assert!(near(was.live_peak_bytes, one.live_peak_bytes) && near(was.live_bytes, one.live_bytes));
        }
    }
}

fn compacted(bytes: &[u8], keep_bytes: u64) -> (Vec<u8>, u64) {
    let compacted = compact(open(bytes), Vec::new(), keep_bytes).unwrap().unwrap();
    assert_eq!(compacted.written_bytes, compacted.out.len() as u64);
    assert_eq!(compacted.read_bytes, bytes.len() as u64);
    (compacted.out, compacted.until_ns)
}

#[test]
fn sums_come_to_what_the_records_came_to() {
    for (seed, sample_mean) in [(1, 0), (2, 0), (3, 50_000), (4, 50_000)] {
        let whole = recorded(seed, sample_mean);
        let before = profile(&whole, Window::default());
        // Once from the beginning, and in steps as a recording does.
        for keeps in [&[0][..], &[40_000], &[150_000, 100_000, 60_000, 30_000, 1_000, 0]] {
            let (mut bytes, mut until_ns) = (whole.clone(), 0);
            for &keep_bytes in keeps {
                let (next, next_until_ns) = compacted(&bytes, keep_bytes);
                assert!(next_until_ns > until_ns);
                (bytes, until_ns) = (next, next_until_ns);
                assert_eq!(open(&bytes).value.index().summed_until_ns(), Some(until_ns));
                assert_same(&before, &profile(&bytes, Window::default()));
            }
            assert!(bytes.len() < whole.len() * 3 / 4, "{} of {} bytes", bytes.len(), whole.len());
        }
    }
}

#[test]
fn what_is_kept_of_records_answers_what_came_when() {
    for (seed, sample_mean) in [(5, 0), (6, 50_000)] {
        let whole = recorded(seed, sample_mean);
        let (bytes, until_ns) = compacted(&whole, 60_000);
        for (from_ns, to_ns) in [
            (until_ns + 1, u64::MAX),
            (until_ns + SECOND_NS, until_ns + 9 * SECOND_NS),
            (0, until_ns + 3 * SECOND_NS),
            (0, until_ns),
        ] {
            let window = Window { from_ns, to_ns };
            let [before, after] = [&whole, &bytes].map(|bytes| profile(bytes, window));
            let told = |profile: &Profile| -> Vec<_> {
                totals(profile)
                    .into_iter()
                    .filter(|(_, all)| all.iter().any(|one| one.bytes > 1e-3))
                    .collect()
            };
            let (expected, found) = (told(&before), told(&after));
            for ((name, expected), (found_name, found)) in expected.iter().zip(&found) {
                assert_eq!(name, found_name);
                for (which, (a, b)) in ["allocated", "live", "peak"].iter().zip(expected.iter().zip(found)) {
                    let is_same = (a.bytes - b.bytes).abs() <= 1e-6 * a.bytes.max(1.0);
                    assert!(is_same, "{from_ns}..{to_ns}: {which} of {name}: {a:?}, with sums {b:?}");
                }
            }
            assert_eq!(expected.len(), found.len());
            assert_eq!(before.peak.at_ns, after.peak.at_ns);
        }
    }
}

#[test]
fn times_begin_where_records_do() {
    let whole = recorded(7, 0);
    let (bytes, until_ns) = compacted(&whole, 60_000);
    let profile = Profile::over_time(open(&bytes)).unwrap().value;
    assert_eq!(profile.over_time.as_ref().unwrap().slices.first_ns, until_ns);
    let cells =
        profile.processes.iter().filter_map(|one| one.timeline.as_ref()).flat_map(|one| &one.allocated);
    let allocated: f64 = cells.map(|cell| cell.amount.bytes).sum();
    assert_eq!(allocated, profile.total().allocated.bytes, "nothing is lost");
}

#[test]
fn nothing_is_summed_twice_for_nothing() {
    let whole = recorded(8, 0);
    let (bytes, _) = compacted(&whole, 0);
    assert!(compact(open(&bytes), Vec::new(), 0).unwrap().is_none());
    assert!(compact(open(&whole), Vec::new(), 1 << 30).unwrap().is_none());
}

#[test]
fn what_was_lost_before_stays_lost() {
    let mut whole = recorded(9, 0);
    let n_bytes = whole.len();
    // Within a frame of the first third, and a header of another.
    whole[n_bytes / 3] ^= 0xff;
    let gaps = |bytes: &[u8]| Profile::of(open(bytes), Window::default()).unwrap().gaps;
    let said = |bytes: &[u8]| gaps(bytes).iter().filter(|gap| gap.cause.contains("damaged")).count();
    assert_eq!(said(&whole), 1);
    let (once, _) = compacted(&whole, 60_000);
    assert_eq!(said(&once), 1, "{:?}", gaps(&once));
    let (twice, _) = compacted(&once, 0);
    assert_eq!(said(&twice), 1, "{:?}", gaps(&twice));
}
