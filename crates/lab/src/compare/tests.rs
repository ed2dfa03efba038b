//! The front and the choice, where the truth is known.

use super::simulation::{Machine, SAME, Truth, plan};
use super::*;

fn truth(memory: f64, cpu: f64) -> Truth {
    Truth { memory, cpu, latency: 1.0 }
}

fn compared(arms: &[(&str, Truth)], change: impl Fn(&mut Trial)) -> (Plan, Comparison) {
    let names: Vec<&str> = arms.iter().map(|(name, _)| *name).collect();
    let plan = plan(&names, 5);
    let of = |name: &str| arms.iter().find(|(other, _)| *other == name).expect("an arm").1;
    let mut trials = Machine::new(0.005, 0.05, 4).experiment(&plan, of);
    trials.iter_mut().for_each(change);
    let comparison = compare(&plan, &trials);
    (plan, comparison)
}

fn on_front(comparison: &Comparison) -> Vec<&str> {
    comparison.arms.iter().filter(|arm| arm.on_front).map(|arm| arm.arm.as_str()).collect()
}

const WORLD: [(&str, Truth); 5] = [
    ("glibc", SAME),
    ("lean", truth_of(0.5, 1.02)),
    ("dear", truth_of(0.4, 1.25)),
    ("beaten", truth_of(0.6, 1.10)),
    ("quick", truth_of(1.1, 0.90)),
];

const fn truth_of(memory: f64, cpu: f64) -> Truth {
    Truth { memory, cpu, latency: 1.0 }
}

#[test]
fn the_front_is_what_no_other_beats() {
    let (_, comparison) = compared(&WORLD, |_| ());
    assert_eq!(on_front(&comparison), ["glibc", "lean", "dear", "quick"]);
    assert_eq!(comparison.arms.last().map(|arm| arm.arm.as_str()), Some("glibc again"));
}

#[test]
fn the_arm_to_take_is_the_smallest_within_the_bounds() {
    let (plan, comparison) = compared(&WORLD, |_| ());
    let choice = comparison.recommended.expect("a choice");
    assert_eq!(choice.arm, "lean");
    assert!(choice.objective.contains("CPU at most 3 % above"));
    assert!(choice.reasons[0].starts_with("idle RSS 0.5"), "{:?}", choice.reasons);

    let names: Vec<&str> = WORLD.iter().map(|(name, _)| *name).collect();
    let of = |name: &str| WORLD.iter().find(|(other, _)| *other == name).expect("an arm").1;
    let trials = Machine::new(0.005, 0.05, 4).experiment(&super::simulation::plan(&names, 5), of);
    let anything = Objective::parse("least memory").expect("an objective");
    let choice = compare_for(&plan, &trials, &anything).recommended.expect("a choice");
    assert_eq!(choice.arm, "dear");
}

#[test]
fn an_arm_with_wrong_answers_is_no_choice() {
    let wrong = |trial: &mut Trial| {
        if trial.arm == "lean" {
            trial.rounds[0].load.as_mut().expect("answers").n_wrong = 1;
        }
    };
    let (_, comparison) = compared(&WORLD, wrong);
    assert_eq!(comparison.recommended.expect("a choice").arm, "glibc");
}

#[test]
fn where_nothing_is_better_nothing_is_changed() {
    let (_, comparison) = compared(&[("glibc", SAME), ("same", SAME), ("worse", truth(1.2, 1.0))], |_| ());
    let choice = comparison.recommended.expect("a choice");
    assert_eq!(choice.arm, "glibc");
    assert!(choice.reasons[0].contains("no other arm was seen to need less memory"));
}

#[test]
fn what_is_smaller_and_too_dear_is_named_with_its_price() {
    let (_, comparison) = compared(&[("glibc", SAME), ("dear", truth(0.4, 1.25))], |_| ());
    let choice = comparison.recommended.expect("a choice");
    assert_eq!(choice.arm, "glibc");
    let reason = &choice.reasons[0];
    assert!(reason.starts_with("'dear' needs less memory, but its CPU is +2"), "{reason}");
    assert!(reason.ends_with("beyond +3 %"), "{reason}");
}

#[test]
fn a_cost_that_cannot_be_told_from_none_is_no_reason_against() {
    // Three trials on a noisy machine: nothing about cost can be told.
    let plan = plan(&["glibc", "lean"], 3);
    let mut seen_beyond = 0;
    for seed in 0..40 {
        let of = |arm: &str| if arm == "lean" { truth(0.4, 1.0) } else { SAME };
        let trials = Machine::new(0.05, 0.05, seed).experiment(&plan, of);
        let comparison = compare(&plan, &trials);
        let choice = comparison.recommended.expect("a choice");
        let cpu = comparison.arms[1].measures[&Measure::Cpu];
        if cpu.ratio > 1.03 && cpu.verdict == Verdict::NoDifferenceSeen && choice.arm == "lean" {
            seen_beyond += 1;
            assert!(choice.reasons.iter().any(|reason| reason.contains("these trials do not tell")));
        }
        assert!(choice.arm == "lean" || cpu.verdict == Verdict::Worse, "seed {seed}: {:?}", choice.reasons);
    }
    assert!(seen_beyond > 0, "the noise was never in the way");
}

#[test]
fn too_few_trials_say_nothing() {
    let plan = plan(&["glibc", "half"], 2);
    let trials = Machine::new(0.005, 0.0, 4)
        .experiment(&plan, |arm| if arm == "half" { truth(0.5, 1.0) } else { SAME });
    let comparison = compare(&plan, &trials);
    assert_eq!(comparison.recommended, None);
    let idle = comparison.arms[1].measures[&Measure::IdleRss];
    assert_eq!(idle.verdict, Verdict::TooFew);
    assert!(idle.low <= idle.ratio && idle.ratio <= idle.high && idle.high < 0.6);
    assert_eq!(on_front(&comparison), ["glibc", "half"], "nothing is proved against either");
    assert_eq!(compare(&plan, &[]).arms.len(), 3);
}

#[test]
fn numbers_are_of_the_whole_trial_and_missing_ones_are_absent() {
    let plan = plan(&["glibc"], 1);
    let mut trial = Machine::new(0.0, 0.0, 4).trial(&plan, "glibc", 0, SAME);
    trial.rounds[0].peak_rss_bytes = 900_000_000;
    trial.rounds[1].idle_pss_bytes = None;
    let value = |trial: &Trial, measure: Measure| value_of(&plan, trial, measure);
    assert_eq!(value(&trial, Measure::PeakRss), Some(9e8));
    assert_eq!(value(&trial, Measure::IdlePss), None);
    assert_eq!(value(&trial, Measure::Cpu), Some(12.0 / 1200.0));
    assert_eq!(value(&trial, Measure::Throughput), Some(1200.0 / 60.0));
    let p50 = value(&trial, Measure::P50).expect("latencies");
    assert!((0.007..0.009).contains(&p50), "{p50}");
    // Half of the latencies would be another number.
    trial.rounds[1].load.as_mut().expect("answers").latency_us_hdr = "broken".to_owned();
    assert_eq!(value(&trial, Measure::P50), None);
    trial.rounds[1].load = None;
    assert_eq!(value(&trial, Measure::Cpu), Some(12.0), "nothing was counted, so it is the whole");
    assert_eq!(value(&trial, Measure::Throughput), None);
}

#[test]
fn the_order_of_trials_does_not_matter() {
    let plan = plan(&["glibc", "other"], 5);
    let mut trials = Machine::new(0.02, 0.1, 4).experiment(&plan, |_| SAME);
    let before = compare(&plan, &trials);
    trials.reverse();
    assert_eq!(compare(&plan, &trials).arms, before.arms);
}
