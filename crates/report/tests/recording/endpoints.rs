//! Requests and tasks, told apart in tables and documents.

use slackwater_report::Style;
use slackwater_report::allocations::{
    Grouping, Measure, Question, Unit, by_stack, by_stack_json, rows, statistics, statistics_json,
};

use crate::captures::{served, service};

const BY_ENDPOINT: Question = Question {
    measure: Measure::Allocated,
    grouping: Grouping { unit: Unit::Endpoint, by_process: false },
    limit: 20,
};

#[test]
fn a_row_for_each_endpoint_adds_up() {
    let recording = served();
    let text = by_stack(&recording.value, &recording.gaps, &BY_ENDPOINT, Style::Plain);
    let places: Vec<&str> =
        text.lines().skip(2).filter_map(|line| line.split("  ").last()).map(str::trim).collect();
    let expected = [
        "orders srv/shop.py (flask)",
        "items srv/shop.py (flask)",
        "(flask, outside its endpoints)",
        "(no request or task on the stack)",
    ];
    assert_eq!(places, expected, "{text}");
    let bytes = |recording| -> f64 {
        rows(recording, Measure::Allocated, BY_ENDPOINT.grouping)
            .iter()
            .map(|row| row.usage.allocated.bytes)
            .sum()
    };
    assert_eq!(bytes(&recording.value), recording.value.total().allocated.bytes);
    let text = statistics(&recording.value, &recording.gaps, Style::Plain);
    assert!(expected.iter().all(|one| text.contains(one)), "{text}");
}

#[test]
fn who_wants_no_labels_gets_none() {
    let recording = served();
    let shown = by_stack_json(&recording.value, &recording.gaps, &BY_ENDPOINT);
    assert_eq!(shown["endpoints"][0]["endpoint"]["function"], "orders");
    assert_eq!(shown["endpoints"][0]["allocated"]["bytes"], 3_000_000);
    assert_eq!(shown["stacks"][0]["endpoint"]["framework"], "flask");
    let without = recording.value.without_endpoints();
    let documents =
        [by_stack_json(&without, &recording.gaps, &BY_ENDPOINT), statistics_json(&without, &recording.gaps)];
    for document in documents {
        assert_eq!(document["endpoints"], serde_json::json!([]));
        assert!(!document.to_string().contains("framework"));
    }
    assert!(!statistics(&without, &recording.gaps, Style::Plain).contains("endpoint"));
    // A service that serves none has no word about them.
    let other = service();
    assert!(!statistics(&other.value, &other.gaps, Style::Plain).contains("endpoint"));
}
