//! Captures of every version of the format, kept for ever: they come to what their programs did.
//! `scripts/golden-captures` of the release that had the version wrote them, and has the programs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use slackwater_capture::{Capture, Measure};
use slackwater_profile::{Estimate, Profile, StackId, Usage, Window};

fn golden(name: &str) -> Profile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/golden");
    let capture = Capture::open(&folder.join(format!("version-{name}.slackwater"))).unwrap();
    let read = Profile::of(capture, Window::default()).unwrap();
    assert_eq!(read.gaps, [], "{name}");
    read.value
}

/// Bytes and calls of all stacks for which that is so.
fn sum(profile: &Profile, measure: fn(&Usage) -> Estimate, is_meant: impl Fn(StackId) -> bool) -> (f64, f64) {
    let mut sum = Estimate::default();
    let stacks = profile.by_stack().into_iter().filter(|(stack, _)| is_meant(*stack));
    stacks.for_each(|(_, usage)| sum.add(&measure(&usage)));
    (sum.bytes, sum.count)
}

fn by_function(profile: &Profile, function: &str, measure: fn(&Usage) -> Estimate) -> (f64, f64) {
    sum(profile, measure, |stack| profile.stacks.frames(stack).any(|frame| frame.function == function))
}

fn allocated(usage: &Usage) -> Estimate {
    usage.allocated
}

fn live(usage: &Usage) -> Estimate {
    usage.live
}

/// What was kept: so many lists of so many blocks, each with its header of 33 bytes.
fn kept(lists: &[f64]) -> (f64, f64) {
    (lists.iter().map(|n| n * (5033.0 + n)).sum(), lists.iter().sum())
}

/// Each sample stands for its like, and the truth is not ruled out.
fn check_sampled(profile: &Profile) {
    let is_drop = |stack| profile.stacks.frames(stack).any(|frame| frame.function == "drop");
    let mut sum = Estimate::default();
    let stacks = profile.by_stack().into_iter().filter(|(stack, _)| is_drop(*stack));
    stacks.for_each(|(_, usage)| sum.add(&usage.allocated));
    assert!((1..40).contains(&sum.n_seen), "{sum:?}");
    let one = Estimate::sampled(9033, 16 << 10);
    let n = sum.n_seen as f64;
    assert!((sum.bytes - n * one.bytes).abs() < 1.0 && (sum.count - n * one.count).abs() < 1e-3, "{sum:?}");
    let interval = sum.interval();
    assert!((interval.low..interval.high).contains(&(40.0 * 9033.0)), "{interval:?}");
}

#[test]
fn fault_39_captures_of_version_1_come_to_the_same_as_ever() {
    let profile = golden("1-exact");
    assert_eq!(by_function(&profile, "keep", live), kept(&[40.0, 20.0]));
    assert_eq!(by_function(&profile, "drop", allocated), (40.0 * 9033.0, 40.0));
    assert_eq!(by_function(&profile, "drop", live), (0.0, 0.0));
    assert_eq!(profile.endpoints.all(), []);
    check_sampled(&golden("1-sampled"));
}

#[test]
fn fault_39_captures_of_version_2_come_to_the_same_as_ever() {
    let of_endpoints = |profile: &Profile, function: &str| {
        let is_it = |stack| {
            let served = profile.endpoints.get(stack);
            let place = served.filter(|one| one.framework == "flask").and_then(|one| one.place.as_ref());
            place.is_some_and(|place| place.0 == function)
        };
        sum(profile, live, is_it)
    };
    for name in ["2-exact", "2-sums"] {
        let profile = golden(name);
        assert_eq!(profile.summed_until_ns.is_some(), name == "2-sums");
        assert_eq!(profile.processes.len(), 2, "{name}");
        assert_eq!(by_function(&profile, "keep", live), kept(&[40.0, 20.0, 10.0]), "{name}");
        assert_eq!(by_function(&profile, "drop", allocated), (40.0 * 9033.0, 40.0), "{name}");
        assert_eq!(by_function(&profile, "drop", live), (0.0, 0.0), "{name}");
        assert_eq!(of_endpoints(&profile, "view"), kept(&[40.0]), "{name}");
        assert_eq!(of_endpoints(&profile, "<lambda>"), kept(&[20.0, 10.0]), "{name}");
    }
    let (exact, sums) = (golden("2-exact"), golden("2-sums"));
    assert_eq!((exact.peak, exact.total()), (sums.peak, sums.total()));
    // Sums of that release do not tell how it was asked for; what came after them does.
    for (profile, tells) in [(&exact, true), (&sums, false)] {
        let (mut all, mut by) = (Estimate::default(), Vec::new());
        profile.asked().all().for_each(|(how, amount)| {
            all.add(&amount);
            by.push(how);
        });
        assert_eq!(all, profile.total().allocated);
        assert_eq!(by.contains(&None), !tells, "{by:?}");
        assert_eq!(by.contains(&Some(Measure::Malloc)), tells, "{by:?}");
    }
    check_sampled(&golden("2-sampled"));
}
