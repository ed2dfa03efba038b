//! A capture written anew with sums: a recording comes to the same with them, in one step or two; and of
//! records that nobody would have written, the new capture can be opened and added up, too.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use slackwater_capture::{Decoder, Record};
use slackwater_fuzz::{History, history, opened, written};
use slackwater_profile::{Estimate, ProcessProfile, Profile, StackId, Window, compact};

/// Bytes of records that are kept, for each unit of the input's.
const KEPT_BYTES: u64 = 16;

fuzz_target!(|bytes: &[u8]| {
    let &[how, first, second, ref rest @ ..] = bytes else { return };
    let keeps = [first, second].map(|units| u64::from(units) * KEPT_BYTES);
    if how & 1 == 0 {
        let History { capture: mut file, is_exact } = history(rest);
        if file.is_empty() {
            return;
        }
        let before = profile(&file);
        for keep_bytes in keeps {
            let Some(next) = anew(&file, keep_bytes) else { continue };
            file = next;
            assert_same(&before, &profile(&file), is_exact);
        }
    } else {
        let records: Vec<Record<'_>> = Decoder::new(rest).map_while(Result::ok).collect();
        let mut file = written(&records).leave();
        for keep_bytes in keeps {
            let Some(next) = anew(&file, keep_bytes) else { continue };
            file = next;
            let total = profile(&file).total();
            assert!(total.allocated.bytes >= 0.0 && total.live.bytes >= 0.0, "{total:?}");
        }
    }
});

fn profile(file: &[u8]) -> Profile {
    let read = Profile::of(opened(file).expect("a capture"), Window::default()).expect("memory can be read");
    // Nothing but the end is missing.
    let n_damaged = read.gaps.iter().filter(|gap| gap.cause.contains("damaged")).count();
    assert_eq!(n_damaged, 0, "{:?}", read.gaps);
    read.value
}

fn anew(file: &[u8], keep_bytes: u64) -> Option<Vec<u8>> {
    let compacted =
        compact(opened(file).expect("a capture"), Vec::new(), keep_bytes).expect("memory can be written")?;
    assert_eq!(compacted.written_bytes, compacted.out.len() as u64);
    assert_eq!(compacted.read_bytes, file.len() as u64);
    assert_eq!(
        opened(&compacted.out).expect("a capture").value.index().summed_until_ns(),
        Some(compacted.until_ns)
    );
    Some(compacted.out)
}

/// The totals of every stack, under its name: allocated, live, and live at the peak of all.
fn totals(profile: &Profile) -> BTreeMap<String, [Estimate; 3]> {
    let name = |stack: StackId| {
        let names: Vec<&str> = profile.stacks.frames(stack).map(|frame| frame.function.as_str()).collect();
        names.join(" < ")
    };
    let by_stack = profile.by_stack().into_iter();
    by_stack.map(|(stack, usage)| (name(stack), [usage.allocated, usage.live, usage.peak])).collect()
}

fn assert_same(before: &Profile, after: &Profile, is_exact: bool) {
    let (expected, found) = (totals(before), totals(after));
    assert!(expected.keys().eq(found.keys()), "{:?}, with sums {:?}", expected.keys(), found.keys());
    // Of estimates, the sum depends on the order, if little; and so does which of two moments had more.
    let n_same = if is_exact { 3 } else { 2 };
    for ((name, expected), found) in expected.iter().zip(found.values()) {
        for (a, b) in expected.iter().zip(found).take(n_same) {
            let all = &expected[0];
            let is_near =
                |a: f64, b: f64, of: f64| if is_exact { a == b } else { (a - b).abs() <= 1e-6 * of };
            let is_same = is_near(a.bytes, b.bytes, all.bytes)
                && is_near(a.count, b.count, all.count)
                && is_near(a.variance(), b.variance(), all.variance())
                && is_near(a.certain_bytes(), b.certain_bytes(), all.bytes);
            assert!(is_same, "{name}: {a:?}, with sums {b:?}");
        }
    }
    let (expected, found) = (before.peak, after.peak);
    let is_same = match is_exact {
        true => expected == found,
        false => (expected.bytes - found.bytes).abs() <= 1e-6 * expected.bytes,
    };
    assert!(is_same, "{expected:?}, with sums {found:?}");
    let sum =
        |of: fn(&ProcessProfile) -> u64, profile: &Profile| -> u64 { profile.processes.iter().map(of).sum() };
    let counts: [fn(&ProcessProfile) -> u64; 3] =
        [|one| one.n_events, |one| one.n_lost, |one| one.n_processes];
    for of in counts {
        assert_eq!(sum(of, before), sum(of, after));
    }
    assert_eq!((&before.marks, before.span_ns), (&after.marks, after.span_ns));
}
