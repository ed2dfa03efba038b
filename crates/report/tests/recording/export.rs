//! Other people's formats, held against their schema, and against the recording they are of.

use std::io::Read;

use prost::Message;
use slackwater_capture::{Allocation, Measure as Kind, Record};
use slackwater_report::allocations::{Grouping, Measure, Question, Unit, by_stack_json, statistics_json};
use slackwater_report::export::{PprofProfile, collapsed, pprof, speedscope};

use crate::captures::{Recording, service};

#[track_caller]
fn validate(schema: &str, document: &serde_json::Value) {
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn published(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap()
}

const MEASURES: [Measure; 3] = [Measure::Peak, Measure::Live, Measure::Allocated];

#[test]
fn speedscope_documents_are_as_its_schema_says_and_add_up() {
    let recording = service();
    for measure in MEASURES {
        let document = speedscope("it", &recording.value, measure).unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        validate(include_str!("speedscope.schema.json"), &document);
        let profiles = document["profiles"].as_array().unwrap();
        let sum: u64 = profiles.iter().map(|one| one["endValue"].as_u64().unwrap()).sum();
        let truth = measure.of(&recording.value.total()).bytes;
        assert!((sum as f64 - truth).abs() < 20.0, "{measure:?}: {sum} of {truth}");
        let frames = document["shared"]["frames"].as_array().unwrap();
        let sample = &profiles[0]["samples"][0];
        assert_eq!(frames[sample[0].as_u64().unwrap() as usize]["name"], "<module>", "outermost first");
    }
}

#[test]
fn pprof_documents_can_be_read_back_and_add_up() {
    let recording = service();
    let gzipped = pprof(&recording.value, &recording.gaps).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(gzipped.as_slice()).read_to_end(&mut bytes).unwrap();
    let document = PprofProfile::decode(bytes.as_slice()).unwrap();
    let text = |id: i64| document.string_table[id as usize].as_str();
    assert_eq!(text(0), "");
    let types: Vec<&str> = document.sample_type.iter().map(|one| text(one.r#type)).collect();
    assert_eq!(types, ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "peak_space"]);
    let total = recording.value.total();
    for (place, truth) in [(1, total.allocated.bytes), (3, total.live.bytes), (4, total.peak.bytes)] {
        let sum: i64 = document.sample.iter().map(|sample| sample.value[place]).sum();
        assert!((sum as f64 - truth).abs() < 20.0, "{}: {sum} of {truth}", types[place]);
    }
    for sample in &document.sample {
        assert_eq!(sample.value.len(), types.len());
        for id in &sample.location_id {
            let location = &document.location[*id as usize - 1];
            let function = &document.function[location.line[0].function_id as usize - 1];
            assert!(location.id == *id && !text(function.name).is_empty());
        }
        assert_eq!(text(sample.label[2].str).split(' ').next(), Some("thread"));
        assert!([101, 102].contains(&sample.label[1].num), "{:?}", sample.label[1]);
    }
    // A second after the two clocks were read, and nine seconds long.
    assert_eq!((document.time_nanos, document.duration_nanos), (1_000_000_000, 9_000_000_000));
    assert!(document.comment.iter().any(|&id| text(id).contains("2 processes")));
    let gap = slackwater_base::Gap::new("some of it", "a reason");
    let doubtful = pprof(&recording.value, &[gap]).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(doubtful.as_slice()).read_to_end(&mut bytes).unwrap();
    let texts = PprofProfile::decode(bytes.as_slice()).unwrap().string_table;
    assert!(texts.iter().any(|text| text == "missing: some of it: a reason"), "{texts:?}");
}

#[test]
fn collapsed_stacks_are_lines_that_add_up() {
    let mut it = Recording::new();
    it.process("odd;name", 0);
    let stack = it.call(0, "a;b\n", "/srv/a b.py", 3);
    it.take(stack, 500);
    it.take(0, 250);
    let text = collapsed(&it.read().value, Measure::Live).unwrap();
    assert_eq!(text, "odd,name 101;(no Python running) 250\nodd,name 101;a,b\\u{a} (/srv/a b.py:3) 500\n");
    // One line, whichever threads went through it.
    let mut it = Recording::new();
    it.process("it", 0);
    let stack = it.call(0, "f", "it.py", 3);
    it.take(stack, 500);
    it.put(&Record::Allocation(Allocation {
        measure: Kind::Malloc,
        sampled: false,
        addr: 1 << 30,
        size: 70,
        stack,
        tid: 9,
    }));
    assert_eq!(collapsed(&it.read().value, Measure::Live).unwrap(), "it 101;f (it.py:3) 570\n");
    let recording = service();
    for measure in MEASURES {
        let sum: f64 = collapsed(&recording.value, measure)
            .unwrap()
            .lines()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum();
        assert!((sum - measure.of(&recording.value.total()).bytes).abs() < 20.0, "{measure:?}: {sum}");
    }
}

#[test]
fn our_own_documents_are_as_the_schemas_say() {
    let recording = service();
    for by_process in [false, true] {
        let grouping = Grouping { unit: Unit::Stack, by_process };
        let question = Question { measure: Measure::Live, grouping, limit: 3 };
        let document = by_stack_json(&recording.value, &recording.gaps, &question);
        validate(&published("record.table.v1.json"), &document);
        assert_eq!(document["stacks"][0]["pid"].is_null(), !by_process);
    }
    validate(&published("record.stats.v1.json"), &statistics_json(&recording.value, &recording.gaps));
}
