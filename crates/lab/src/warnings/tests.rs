//! Every warning on the evidence that it is for, and none without.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::compare::simulation::{Machine, SAME};
use crate::compare::{compare, of_experiment};
use crate::plan;
use crate::result::{Disturbances, Experiment, InForce, LoadModel, Point, Surroundings, Trial, Void};

const TEXT: &str = "[service]\ncommand = 'serve {port}'\n[load]\nrate = 20\nduration = '30s'\n[[load.request]]\n\
                    path = '/'\n[[arm]]\nname = 'glibc'\n[[arm]]\nname = 'je'\nallocator = 'jemalloc'\n\
                    set = { narenas = 2 }\n";

fn read(text: &str) -> Plan {
    plan::read(text, Path::new("/")).unwrap_or_else(|error| panic!("{error}"))
}

/// Quiet trials on which everything is as it should be.
fn quiet(plan: &Plan) -> Vec<Trial> {
    let mut trials = Machine::new(0.004, 0.0, 3).experiment(plan, |_| SAME);
    for trial in &mut trials {
        let allocator = if trial.arm == "je" { "jemalloc 5.3.0" } else { "glibc 2.36" };
        let settings = BTreeMap::from([("narenas".to_owned(), "2".to_owned())]);
        trial.in_force = vec![InForce {
            pid: 7,
            role: "worker".to_owned(),
            python: None,
            allocator: allocator.to_owned(),
            objects: None,
            settings,
            purging: None,
        }];
        // Half a processor, always.
        trial.series = (0..=420)
            .map(|tenth| Point {
                at: f64::from(tenth) / 4.0,
                rss_bytes: 1,
                each_rss_bytes: vec![1],
                cpu_seconds: f64::from(tenth) / 8.0,
                minor_faults: 0,
                cgroup_bytes: None,
            })
            .collect();
        trial.disturbances = Disturbances {
            stolen_cpu_seconds: Some(0.0),
            others_cpu_seconds: Some(0.5),
            swapped_bytes: Some(0),
            clock_step_seconds: None,
            n_limit_hits: Some(0),
        };
    }
    trials
}

/// The warnings of a plan whose trials were changed: exactly one kind, with these words.
#[track_caller]
fn warned(plan: &Plan, trials: &[Trial], kind: Kind, words: &[&str]) {
    let warnings = compare(plan, trials).warnings;
    let kinds: Vec<&str> = warnings.iter().map(|warning| warning.kind.as_str()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|other| *other == kind.key()), "{warnings:#?}");
    for word in words {
        assert!(warnings.iter().any(|warning| warning.message.contains(word)), "'{word}': {warnings:#?}");
    }
}

/// The same, where every trial of `je` was changed.
#[track_caller]
fn warned_of(change: impl Fn(&mut Trial), kind: Kind, words: &[&str]) {
    let plan = read(TEXT);
    let mut trials = quiet(&plan);
    trials.iter_mut().filter(|trial| trial.arm == "je").for_each(change);
    warned(&plan, &trials, kind, words);
}

fn answers(trial: &mut Trial) -> impl Iterator<Item = &mut crate::result::Answers> {
    trial.rounds.iter_mut().filter_map(|round| round.load.as_mut())
}

#[test]
fn a_sound_experiment_has_no_warnings() {
    let plan = read(TEXT);
    assert_eq!(compare(&plan, &quiet(&plan)).warnings, Vec::new());
}

#[test]
fn a_plan_is_warned_of_before_it_runs() {
    let check = |text: &str, kind: Kind, words: &str| {
        let warnings = of_plan(&read(text));
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        assert_eq!(warnings[0].kind, kind.key());
        assert!(warnings[0].message.contains(words), "{warnings:#?}");
    };
    let slow = TEXT.replace("narenas = 2", "dirty_decay_ms = 20000");
    assert_eq!(of_plan(&read(&slow)), Vec::new(), "the default idle time waits for it");
    check(&format!("{slow}[schedule]\nidle = '12s'\n"), Kind::IdleTooShort, "set idle to \"24s\"");
    let shared = TEXT.replace("[load]", "cpus = [0, 1]\n[load]");
    check(&format!("{shared}[schedule]\nload_cpus = [1]\n"), Kind::SharedProcessors, "share processor 1");
    check(&format!("{TEXT}[schedule]\nrepetitions = 2\n"), Kind::FewRepetitions, "set repetitions to 5");
}

#[test]
fn what_was_not_sent_or_not_answered_is_said() {
    let each =
        |change: fn(&mut crate::result::Answers)| move |trial: &mut Trial| answers(trial).for_each(change);
    warned_of(each(|one| one.late_p99_seconds = 0.0051), Kind::GeneratorFellBehind, &["5.1 ms late"]);
    warned_of(each(|one| one.n_failed = 1), Kind::Unanswered, &["10 failed"]);
    warned_of(
        each(|one| {
            one.n_wrong = 2;
            one.example_of_wrong = Some("status 500".to_owned());
        }),
        Kind::WrongAnswers,
        &["20 of 6000 answers were wrong (status 500)"],
    );
    warned_of(each(|one| one.n_due = 660), Kind::Saturated, &["kept up with 91 % of the rate"]);
    warned_of(
        |trial| trial.rounds.iter_mut().for_each(|round| round.load_until += 2.0),
        Kind::Saturated,
        &["kept up with 94 % of the rate"],
    );
}

#[test]
fn a_cold_start_is_seen_in_the_first_part_of_the_load() {
    warned_of(
        // 6 s of 30 at one and a half processors.
        |trial| trial.series.iter_mut().for_each(|point| point.cpu_seconds += point.at.min(6.0)),
        Kind::WarmUpTooShort,
        &["200 % more processor time", "more than 5 s"],
    );
}

#[test]
fn what_ran_otherwise_than_asked_for_is_said() {
    warned_of(|trial| trial.n_replaced = 1, Kind::WorkersReplaced, &["5 in all"]);
    warned_of(
        |trial| trial.in_force[0].allocator = "glibc 2.36".to_owned(),
        Kind::AllocatorNotInForce,
        &["asks for jemalloc, but glibc 2.36 served"],
    );
    warned_of(
        |trial| _ = trial.in_force[0].settings.insert("narenas".to_owned(), "8".to_owned()),
        Kind::SettingNotInForce,
        &["narenas is 8 in a process, not 2"],
    );
    warned_of(|trial| trial.in_force.clear(), Kind::NotVerified, &["was not seen"]);
}

#[test]
fn what_the_machine_did_is_said() {
    let disturbed = |change: fn(&mut Disturbances)| move |trial: &mut Trial| change(&mut trial.disturbances);
    warned_of(disturbed(|one| one.stolen_cpu_seconds = Some(5.0)), Kind::BusyMachine, &["5.4 %", "in 'je'"]);
    warned_of(
        disturbed(|one| one.others_cpu_seconds = Some(46.0)),
        Kind::BusyMachine,
        &["50 % of a processor"],
    );
    warned_of(disturbed(|one| one.clock_step_seconds = Some(-7.0)), Kind::ClockStepped, &["-7.0 s"]);
    warned_of(disturbed(|one| one.swapped_bytes = Some(3_000_000)), Kind::Swap, &["3.0 MB"]);
    warned_of(disturbed(|one| one.n_limit_hits = Some(4)), Kind::MemoryLimit, &["in 5 trials"]);
}

#[test]
fn doubtful_numbers_are_said() {
    let plan = read(TEXT);
    let null = |trial: &mut Trial| {
        if trial.arm == "glibc again" {
            trial.rounds.iter_mut().for_each(|round| round.cpu_seconds *= 1.1);
        }
    };
    let mut trials = quiet(&plan);
    trials.iter_mut().for_each(null);
    warned(&plan, &trials, Kind::NullDiffers, &["CPU 1.10", "do not believe differences of that size"]);

    let mut trials = quiet(&plan);
    trials.retain(|trial| trial.repetition < 2);
    warned(&plan, &trials, Kind::FewRepetitions, &["2 trials that count"]);

    let drifting = |drift: f64, noise: f64| {
        let mut trials = Machine::new(noise, drift, 1).experiment(&plan, |_| SAME);
        trials.iter_mut().zip(quiet(&plan)).for_each(|(trial, quiet)| {
            trial.series = quiet.series;
            let allocator = if trial.arm == "je" { "jemalloc" } else { "glibc" };
            trial.in_force = quiet.in_force;
            trial.in_force[0].allocator = allocator.to_owned();
        });
        trials
    };
    warned(&plan, &drifting(0.2, 0.004), Kind::Drift, &["from the first trial to the last"]);
    warned(&plan, &drifting(0.0, 0.06), Kind::IntervalTooWide, &["would not have been seen", "repetitions"]);
}

#[test]
fn the_machine_and_the_voids_are_part_of_a_whole_experiment() {
    let plan = read(TEXT);
    let void = |reason: &str| Void {
        arm: "je".to_owned(),
        repetition: 0,
        started_unix_ms: 0,
        reason: reason.to_owned(),
        log: Vec::new(),
    };
    let experiment = Experiment {
        schema: crate::result::SCHEMA,
        slackwater: String::new(),
        name: String::new(),
        plan: TEXT.to_owned(),
        bodies: Default::default(),
        surroundings: Surroundings { huge_pages: Some("always".to_owned()), ..Surroundings::default() },
        arms: Vec::new(),
        model: LoadModel::Open,
        trials: quiet(&plan),
        voids: vec![void("it never became ready"), void("it died")],
        comparison: None,
    };
    let warnings = of_experiment(&plan, &experiment).warnings;
    let kinds: Vec<&str> = warnings.iter().map(|warning| warning.kind.as_str()).collect();
    assert_eq!(kinds, [Kind::HugePages.key(), Kind::VoidTrials.key()]);
    assert!(warnings[1].message.contains("2 trials void") && warnings[1].message.ends_with("it died"));
    assert!(
        of_surroundings(&Surroundings { huge_pages: Some("madvise".into()), ..Default::default() })
            .is_empty()
    );
}

#[test]
fn a_real_difference_is_no_warning() {
    let plan = read(TEXT);
    let mut trials = quiet(&plan);
    for round in trials.iter_mut().filter(|trial| trial.arm == "je").flat_map(|trial| &mut trial.rounds) {
        round.idle_rss_bytes /= 2;
        round.peak_rss_bytes *= 2;
    }
    assert_eq!(compare(&plan, &trials).warnings, Vec::new());
}
