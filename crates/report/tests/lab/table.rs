//! The table for terminals.

use slackwater_report::Style;
use slackwater_report::lab::table;

use crate::experiment::telemetry;

#[test]
fn the_table_says_what_was_measured_and_what_to_type() {
    let text = table(&telemetry(), Style::Plain);
    for part in [
        "experiment telemetry: 6 arms, 30 trials of 2 rounds, 1 void trial",
        "AGAINST glibc",
        "slackwater holds 77 % less memory after load than glibc",
        "no difference seen in",
        "void: mimalloc, repetition 4: the generator fell behind",
        "slackwater run --allocator slackwater -- gunicorn",
        "slackwater advise --allocator slackwater",
    ] {
        assert!(text.contains(part), "no '{part}' in\n{text}");
    }
    assert!(!text.contains('\x1b'), "colour where none was asked for");
    let too_wide: Vec<&str> =
        text.lines().filter(|line| line.chars().count() > 80 && !line.contains("slackwater run")).collect();
    assert!(too_wide.is_empty(), "{too_wide:#?}");
}

#[test]
fn the_baseline_stays_the_baseline_when_it_is_the_one_to_take() {
    let mut experiment = telemetry();
    experiment.comparison.as_mut().unwrap().recommended.as_mut().unwrap().arm = "glibc".to_owned();
    let text = table(&experiment, Style::Plain);
    assert!(text.contains("Stay with glibc"), "{text}");
    assert!(
        !text.lines().any(|line| line.starts_with("glibc: ")),
        "a verdict of the baseline against itself:\n{text}"
    );
    assert!(!text.contains("LOG_LEVEL=warning"), "what to type for what one has:\n{text}");
}

#[test]
fn an_experiment_that_has_just_begun_has_a_table_too() {
    let mut experiment = telemetry();
    experiment.trials.truncate(1);
    experiment.comparison = None;
    let text = table(&experiment, Style::Plain);
    assert!(text.contains("Nothing can be compared yet"), "{text}");
    experiment.trials.clear();
    experiment.arms.clear();
    experiment.voids.clear();
    assert!(table(&experiment, Style::Plain).contains("0 trials"));
}

#[test]
fn names_cannot_act_on_the_terminal() {
    let mut experiment = telemetry();
    let evil = "\x1b]0;owned\x07\u{202e}\u{61c}glibc\n";
    let harmless =
        |text: &str| !text.chars().any(|c| c != '\n' && c.is_control() || c == '\u{202e}' || c == '\u{61c}');
    experiment.name = evil.to_owned();
    experiment.arms[1].name = evil.to_owned();
    experiment.arms[1].command = vec![evil.to_owned()];
    experiment.arms[1].environment.insert(evil.to_owned(), evil.to_owned());
    experiment.surroundings.kernel = evil.to_owned();
    experiment.voids[0].arm = evil.to_owned();
    experiment.voids[0].reason = evil.to_owned();
    let comparison = experiment.comparison.as_mut().unwrap();
    comparison.arms[1].arm = evil.to_owned();
    comparison.baseline = evil.to_owned();
    comparison.warnings[0].message = evil.to_owned();
    let recommended = comparison.recommended.as_mut().unwrap();
    recommended.objective = evil.to_owned();
    recommended.reasons = vec![evil.to_owned()];
    assert!(harmless(&table(&experiment, Style::Plain)));
    experiment.comparison.as_mut().unwrap().recommended.as_mut().unwrap().arm = evil.to_owned();
    experiment.comparison.as_mut().unwrap().baseline = "glibc".to_owned();
    let text = table(&experiment, Style::Plain);
    assert!(harmless(&text), "{text:?}");
}
