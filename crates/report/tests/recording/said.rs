//! What is said below a table: without it, its numbers would be read for more than they are.

use slackwater_base::{Bytes, Gap};
use slackwater_capture::{Allocation, Before, Measure as Kind, Record};
use slackwater_report::Style;
use slackwater_report::allocations::{Grouping, Measure, Question, Unit, by_stack, rows, statistics};

use crate::captures::Recording;

const BY_LINE: Question = Question {
    measure: Measure::Live,
    grouping: Grouping { unit: Unit::Line, by_process: false },
    limit: 20,
};

#[test]
fn what_is_missing_and_what_was_there_before_is_said() {
    let mut it = Recording::new();
    it.process("python3", 0);
    let stack = it.call(0, "f", "it.py", 3);
    it.take(stack, 500);
    for (class, bytes) in [("live_native", 5 << 20), ("slack_trimmable", 9 << 20)] {
        let before = Before { holder: "glibc".into(), class: class.into(), bytes, blocks: 1 };
        it.put(&Record::Before(before));
    }
    it.process("sh", 0);
    it.take(0, 100);
    it.put(&Record::NoStacks("it has no Python".into()));
    let profile = it.read().value;
    let gaps = [Gap::new("some of it", "a reason")];
    let tables =
        [by_stack(&profile, &gaps, &BY_LINE, Style::Plain), statistics(&profile, &gaps, Style::Plain)];
    for text in tables {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "missing: some of it: a reason",
            "1 of the processes have no stacks (sh): it has no Python",
            "(before the recording) 5.2 MB live in process 101 then",
        ] {
            assert!(flat.contains(said), "no {said:?} in {text}");
        }
        assert_eq!(flat.matches("(before the recording)").count(), 1, "{text}");
        assert!(!flat.contains("forked later"), "{text}");
    }
}

/// Of several stacks with one innermost line, the largest stands for all.
#[test]
fn a_row_shows_the_stack_that_has_most_of_it() {
    let mut it = Recording::new();
    it.process("python3", 0);
    for (id, caller) in [(1, "small"), (2, "large"), (3, "middle")] {
        it.put(&Record::Location { id, line: id, function: caller.into(), file: "it.py".into() });
        it.put(&Record::Stack { id, parent: 0, location: id });
    }
    it.put(&Record::Location { id: 4, line: 9, function: "take".into(), file: "it.py".into() });
    for (id, parent, size) in [(4, 1, 100), (5, 2, 900), (6, 3, 300)] {
        it.put(&Record::Stack { id, parent, location: 4 });
        it.take(id, size);
    }
    let profile = it.read().value;
    let rows = rows(&profile, Measure::Live, BY_LINE.grouping);
    let [row] = &rows[..] else { panic!("{} rows", rows.len()) };
    assert_eq!((row.usage.live.bytes, row.n_stacks), (1300.0, 3));
    let functions: Vec<&str> =
        profile.stacks.frames(row.stack).map(|frame| frame.function.as_str()).collect();
    assert_eq!(functions, ["take", "large"]);
}

/// The text with one blank between words.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn shares_calls_and_sums_of_a_table_are_of_what_was_asked_for() {
    let mut it = Recording::new();
    it.process("python3", 0);
    let [keep, two, third, given] =
        ["keep", "two_threads", "third", "given"].map(|name| it.call(0, name, "it.py", 3));
    let block = it.take(given, 20_000_000);
    it.give(block);
    it.take(keep, 6_000_000);
    let block = it.take(keep, 6_000_000);
    it.give(block);
    it.take(two, 2_000_000);
    it.put(&Record::Allocation(Allocation {
        measure: Kind::Malloc,
        sampled: false,
        addr: 1 << 40,
        size: 1_000_000,
        stack: two,
        tid: 9,
    }));
    it.take(third, 1_000_000);
    // The service holds most when the first process does not.
    it.process("python3", 0);
    it.at(5.0);
    let block = it.take(0, 50_000_000);
    it.give(block);
    let profile = it.read().value;

    let grouping = Grouping { unit: Unit::Line, by_process: true };
    let question = Question { measure: Measure::Live, grouping, limit: 2 };
    let text = by_stack(&profile, &[], &question, Style::Plain);
    let bytes = |bytes| Bytes(bytes).to_string();
    for said in [
        format!("101 {} exact 60.0 % 1 keep", bytes(6_000_000)),
        format!("101 {} exact 30.0 % 2 two_threads", bytes(3_000_000)),
        format!("1 more lines with {}", bytes(1_000_000)),
    ] {
        assert!(flat(&text).contains(&said), "no {said:?} in {text}");
    }
    let text = statistics(&profile, &[], Style::Plain);
    let said = format!("{} {} {}", bytes(36_000_000), bytes(10_000_000), bytes(20_000_000));
    assert!(flat(&text).contains(&said), "no {said:?} in {text}");
}

#[test]
fn an_estimate_stands_beside_both_ends_of_what_it_may_be() {
    let mut it = Recording::new();
    it.process("python3", 512 << 10);
    let stack = it.call(0, "f", "it.py", 3);
    (0..40).for_each(|_| _ = it.take(stack, 100_000));
    let profile = it.read().value;
    let estimate = profile.total().live;
    let (low, high) = (estimate.interval().low, estimate.interval().high);
    assert!(0.0 < low && low < estimate.bytes && estimate.bytes < high, "{low} {high}");
    let bytes = |bytes: f64| Bytes(bytes.round() as u64).to_string();
    let text = by_stack(&profile, &[], &BY_LINE, Style::Plain);
    let said = format!("{} {} - {} 100.0 %", bytes(estimate.bytes), bytes(low), bytes(high));
    assert!(flat(&text).contains(&said), "no {said:?} in {text}");
    let text = statistics(&profile, &[], Style::Plain);
    let said = format!("{} ± {}", bytes(estimate.bytes), bytes((high - low) / 2.0));
    assert!(flat(&text).contains(&said), "no {said:?} in {text}");
}
