//! Captures made record by record: what was live at which moment, of one process and of several.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use slackwater_capture::{Allocation, Capture, Encoder, Ending, Generation, Measure, Record, Writer};
use slackwater_profile::{NEVER, Profile, Usage, Window};

/// What happens to the blocks of one process.
#[derive(Clone, Copy)]
enum Event {
    /// At this time this stack asks for so much; the block is named by a number.
    Take(u64, u32, u64, u64),
    /// At this time the block of this number goes.
    Give(u64, u64),
    /// At this time the process ends.
    End(u64, Ending),
}
use Event::{End, Give, Take};

/// A capture of processes, each in one frame, with a stack of one line per number.
fn capture(processes: &[&[Event]]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
    for (generation, events) in (1..).zip(processes) {
        let mut encoder = Encoder::default();
        let born = Record::Born { pid: generation, parent: None, sample_mean: 0, program: "it".into() };
        encoder.put(&born);
        for id in 1..=4 {
            let function = format!("stack {id}");
            encoder.put(&Record::Location { id, line: 1, function: function.into(), file: "it.py".into() });
            encoder.put(&Record::Stack { id, parent: 0, location: id });
        }
        let mut span = (u64::MAX, 0);
        for &event in *events {
            let (Take(ns, ..) | Give(ns, _) | End(ns, _)) = event;
            span = (span.0.min(ns), span.1.max(ns));
            encoder.put(&Record::At(ns));
            encoder.put(&match event {
                Take(_, stack, addr, size) => Record::Allocation(Allocation {
                    measure: Measure::Malloc,
                    sampled: false,
                    addr: addr * 16,
                    size,
                    stack,
                    tid: generation,
                }),
                Give(_, addr) => Record::Free { addr: addr * 16, tid: generation },
                End(_, ending) => Record::Ended(ending),
            });
        }
        writer.records(Generation(generation), span.0, span.1, &mut encoder).unwrap();
    }
    writer.end(1_000_000).unwrap()
}

fn profile(processes: &[&[Event]], window: Window) -> Profile {
    let capture = Capture::from_reader(Path::new("it"), Cursor::new(capture(processes))).unwrap();
    let profile = Profile::of(capture, window).unwrap();
    assert_eq!(profile.gaps, []);
    profile.value
}

/// Allocated, live and peak bytes of a stack, in all processes.
fn of(profile: &Profile, number: u32) -> [u64; 3] {
    let mut usage = Usage::default();
    for (&stack, one) in &profile.by_stack() {
        let name = profile.stacks.frames(stack).next().map(|frame| frame.function.as_str());
        if name == Some(&format!("stack {number}")) {
            usage.add(one);
        }
    }
    [usage.allocated, usage.live, usage.peak].map(|one| one.bytes as u64)
}

#[test]
fn the_peak_is_that_of_all_processes_together() {
    // Each has its own peak elsewhere: together they hold most at 30.
    let first: &[Event] =
        &[Take(10, 1, 1, 500), Give(20, 1), Take(25, 2, 2, 300), Give(40, 2), End(90, Ending::Exit(0))];
    let second: &[Event] = &[Take(5, 3, 1, 100), Take(30, 4, 2, 400), Give(35, 2), Take(60, 4, 3, 450)];
    let all = profile(&[first, second], Window::default());
    assert_eq!((all.peak.at_ns, all.peak.bytes), (30, 800.0));
    assert_eq!(
        [1, 2, 3, 4].map(|number| of(&all, number)),
        [[500, 0, 0], [300, 0, 300], [100, 100, 100], [850, 450, 400]]
    );
    assert_eq!(all.total().peak.bytes, all.peak.bytes, "shares add up");
    let alone = profile(&[first], Window::default());
    assert_eq!((alone.peak.at_ns, alone.peak.bytes, of(&alone, 1)[2]), (10, 500.0, 500));
}

#[test]
fn what_is_gone_holds_nothing_at_the_peak() {
    let first: &[Event] = &[Take(10, 1, 1, 500), End(20, Ending::Signal(9))];
    let second: &[Event] = &[Take(30, 2, 1, 400), Take(40, 2, 2, 150)];
    let all = profile(&[first, second], Window::default());
    assert_eq!((all.peak.at_ns, all.peak.bytes), (40, 550.0));
    assert_eq!([1, 2].map(|number| of(&all, number)), [[500, 500, 0], [550, 550, 550]]);
}

#[test]
fn a_window_counts_what_came_within_it() {
    let only: &[Event] = &[
        Take(10, 1, 1, 500),
        Take(20, 2, 2, 300),
        Give(30, 1),
        Take(40, 3, 3, 100),
        Give(50, 2),
        Give(55, 3),
        End(60, Ending::Exit(0)),
    ];
    let until = profile(&[only], Window { from_ns: 0, to_ns: 45 });
    assert_eq!([1, 2, 3].map(|number| of(&until, number)), [[500, 0, 500], [300, 300, 300], [100, 100, 0]]);
    assert_eq!(until.processes[0].ending, Some(Ending::Outlived), "it did not end in the window");
    let within = profile(&[only], Window { from_ns: 25, to_ns: 45 });
    // What came before is part of the peak, and of nothing else.
    assert_eq!([1, 2, 3].map(|number| of(&within, number)), [[0, 0, 500], [0, 0, 300], [100, 100, 0]]);
    assert_eq!((within.peak.at_ns, within.peak.bytes), (30, 800.0));
    assert_eq!(within.processes[0].live_peak_bytes, 800.0, "when it opened");
    let end = profile(&[only], Window { from_ns: 52, to_ns: 90 });
    assert_eq!(end.processes[0].live_peak_bytes, 100.0);
    let nothing = profile(&[only], Window { from_ns: 70, to_ns: 90 });
    assert_eq!(nothing.total(), Usage::default());
}

#[test]
fn slices_tell_what_was_live_at_the_end_of_each() {
    let only: &[Event] = &[
        Take(0, 1, 1, 500),
        Take(200_000, 2, 2, 300),
        Give(200_010, 2),
        Give(600_000, 1),
        Take(700_000, 3, 3, 40),
        End(1_000_000, Ending::Exit(0)),
    ];
    let capture = Capture::from_reader(Path::new("it"), Cursor::new(capture(&[only]))).unwrap();
    let profile = Profile::over_time(capture).unwrap().value;
    let over_time = profile.over_time.as_ref().unwrap();
    let timeline = profile.processes[0].timeline.as_ref().unwrap();
    let live_at = |ns: u64| {
        let slice = over_time.slices.of(ns) as u16;
        let cells = timeline.survived.iter().filter(|cell| cell.born <= slice && slice < cell.gone);
        cells.map(|cell| cell.amount.bytes).sum::<f64>()
    };
    assert_eq!([0, 300_000, 650_000, 999_999].map(live_at), [500.0, 500.0, 0.0, 40.0]);
    let kept: Vec<u32> =
        timeline.survived.iter().filter(|one| one.gone == NEVER).map(|one| one.part).collect();
    assert_eq!(kept.len(), 1);
    // Within the slice of the short one, most was live with it.
    assert_eq!(over_time.live_most[over_time.slices.of(200_005)], 800.0);
    assert_eq!(timeline.allocated.iter().map(|one| one.amount.bytes).sum::<f64>(), 840.0);
}
