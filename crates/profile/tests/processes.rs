//! What is known of a process beside what it asked for: how large it was, what it held before, what is missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use slackwater_base::Partial;
use slackwater_capture::{
    Allocation, Before, Capture, Encoder, Generation, Measure, NativeCode, Record, Writer,
};
use slackwater_profile::{Code, Frame, ProcessProfile, Profile, Window};

/// A capture of one process until 1 ms after its begin, read over time.
fn read(records: &[Record<'_>]) -> Partial<Profile> {
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    let mut encoder = Encoder::default();
    encoder.put(&Record::Born { pid: 7, parent: None, sample_mean: 0, program: "it".into() });
    records.iter().for_each(|record| encoder.put(record));
    writer.records(Generation(1), 1, 1_000_000, &mut encoder).unwrap();
    let bytes = writer.end(1_000_000).unwrap();
    Profile::over_time(Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap()).unwrap()
}

fn only(profile: &Profile) -> &ProcessProfile {
    let [process] = &profile.processes[..] else { panic!("{} processes", profile.processes.len()) };
    process
}

fn block(addr: u64, sampled: bool, stack: u32) -> Record<'static> {
    Record::Allocation(Allocation { measure: Measure::Malloc, sampled, addr, size: 100, stack, tid: 7 })
}

#[test]
fn how_large_it_was_is_known_at_every_time() {
    let looks = [
        Record::At(1),
        Record::Resident(500),
        Record::At(700_000),
        Record::Resident(900),
        Record::Resident(300),
        Record::At(1_000_000),
        block(16, false, 0),
    ];
    let profile = read(&looks).value;
    let process = only(&profile);
    assert_eq!((process.resident_bytes, process.resident_peak_bytes), (300, 900));
    let slices = profile.over_time.as_ref().unwrap().slices;
    let most = &process.timeline.as_ref().unwrap().resident_most;
    // Between two looks it was as at the first.
    assert_eq!([1, 400_000, 700_000, 900_000].map(|ns| most[slices.of(ns)]), [500, 500, 900, 300]);
}

#[test]
fn what_is_missing_is_counted_and_said() {
    let Partial { value, gaps } = read(&[Record::At(1), Record::Lost(3), Record::Lost(4)]);
    assert_eq!(only(&value).n_lost, 7);
    assert_eq!(
        gaps.iter().map(|gap| gap.subject.as_str()).collect::<Vec<_>>(),
        ["7 events of process 7 (it)"]
    );
}

#[test]
fn samples_that_follow_exact_recording_stand_for_their_like() {
    let records = [Record::At(1), block(16, false, 0), Record::Degraded(4096), block(32, true, 0)];
    let Partial { value, gaps } = read(&records);
    assert!(only(&value).degraded);
    assert_eq!(
        gaps.iter().map(|gap| gap.subject.as_str()).collect::<Vec<_>>(),
        ["some frees of process 7 (it)"]
    );
    let probability = 1.0 - (-100.0_f64 / 4096.0).exp();
    let allocated = value.total().allocated;
    assert!((allocated.count - (1.0 + 1.0 / probability)).abs() < 1e-6, "{allocated:?}");
    assert!((allocated.bytes - (100.0 + 100.0 / probability)).abs() < 1e-6, "{allocated:?}");
}

#[test]
fn of_what_was_there_before_some_was_live() {
    let before = |class: &'static str, bytes| {
        Record::Before(Before { holder: "glibc".into(), class: class.into(), bytes, blocks: 1 })
    };
    let classes = [("live_native", 100), ("slack_trimmable", 50), ("live_python", 7)];
    let records: Vec<_> = classes.map(|(class, bytes)| before(class, bytes)).into();
    let profile = read(&records).value;
    let process = only(&profile);
    assert_eq!((process.live_before_bytes(), process.before.len()), (107, 3));
    assert_eq!(process.before_of, None, "it is its own");
}

#[test]
fn the_line_whose_wish_it_was_lies_below_native_code() {
    let native = |id, function: &'static str| {
        Record::Native(NativeCode {
            id,
            function: function.into(),
            file: "".into(),
            line: 0,
            module: "/lib/libit.so".into(),
            build_id: vec![1].into(),
            offset: 64,
        })
    };
    let profile = read(&[
        Record::Location { id: 1, line: 3, function: "wish".into(), file: "it.py".into() },
        native(2, "grow"),
        Record::Stack { id: 1, parent: 0, location: 1 },
        Record::Stack { id: 2, parent: 1, location: 2 },
        Record::Stack { id: 3, parent: 0, location: 2 },
        Record::At(1),
        block(16, false, 2),
        block(32, false, 3),
    ])
    .value;
    let told = |frames: &mut dyn Iterator<Item = &Frame>| -> Vec<(String, Code)> {
        frames.map(|frame| (frame.function.clone(), frame.code)).collect()
    };
    let (wish, grow) = (("wish".to_owned(), Code::Python), ("grow".to_owned(), Code::Native));
    for stack in profile.by_stack().into_keys() {
        let all = told(&mut profile.stacks.frames(stack));
        let expected = if all.len() == 2 { vec![wish.clone()] } else { vec![grow.clone()] };
        assert_eq!(told(&mut profile.stacks.frames_from_python(stack)), expected, "of {all:?}");
    }
    assert_eq!(profile.by_stack().len(), 2);
}

#[test]
fn what_is_forked_later_begins_with_what_its_parent_held() {
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    let mut encoder = Encoder::default();
    // The third was forked by the second, the fourth was attached to like the first.
    for (generation, parent, was_looked_into) in [(1, 0, true), (2, 1, false), (3, 2, false), (4, 0, false)] {
        let parent = (parent > 0).then_some(Generation(parent));
        encoder.put(&Record::Born { pid: generation, parent, sample_mean: 0, program: "it".into() });
        if was_looked_into {
            let (holder, class) = ("glibc".into(), "live_native".into());
            encoder.put(&Record::Before(Before { holder, class, bytes: 9, blocks: 1 }));
        }
        writer.records(Generation(generation), 1, 2, &mut encoder).unwrap();
    }
    let bytes = writer.end(3).unwrap();
    let capture = Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap();
    let profile = Profile::of(capture, Window::default()).unwrap().value;
    let of: Vec<_> = profile.processes.iter().map(|one| one.before_of.map(|holder| holder.0)).collect();
    assert_eq!(of, [None, Some(1), Some(1), None]);
}
