//! `docs/schema/lab.v1.json` against what is written.

use serde_json::{Value, json};

use crate::experiment::telemetry;

fn errors(document: &Value) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/lab.v1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn results_are_as_the_schema_says() {
    let mut experiment = telemetry();
    assert_eq!(errors(&serde_json::to_value(&experiment).unwrap()), Vec::<String>::new());
    experiment.comparison = None;
    experiment.trials[0].rounds[0].load = None;
    experiment.trials[0].cgroup_peak_bytes = Some(1);
    experiment.trials[0].gaps.push("pid 7: gone".to_owned());
    assert_eq!(errors(&serde_json::to_value(&experiment).unwrap()), Vec::<String>::new());
}

#[test]
fn the_schema_has_every_field_and_refuses_what_is_not_in_the_contract() {
    let whole = serde_json::to_value(telemetry()).unwrap();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut document = whole.clone();
        change(&mut document);
        errors(&document)
    };
    assert!(!broken(&|document| document["schema"] = json!(2)).is_empty());
    assert!(!broken(&|document| document["model"] = json!("ajar")).is_empty());
    assert!(
        !broken(&|document| document["trials"][0]["rounds"][0]["peak_rss_bytes"] = json!(null)).is_empty()
    );
    assert!(!broken(&|document| document["trials"][0]["ledgers"][0]["ledger"]["heap"] = json!(1)).is_empty());
    assert!(!broken(&|document| document["comparison"]["arms"][0]["measures"]["rss"] = json!({})).is_empty());
    // Whatever is written is described: a field that is added here has to be added there.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/lab.v1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut missing = Vec::new();
    undescribed(&whole, &schema, &schema, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

/// Fields of `value` that its schema has no word of.
fn undescribed(value: &Value, schema: &Value, root: &Value, path: &str, missing: &mut Vec<String>) {
    let alternatives = schema.get("anyOf").and_then(Value::as_array).and_then(|all| all.first());
    let schema = alternatives.unwrap_or(schema);
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}/{name}");
                match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                    Some(of_field) => undescribed(field, of_field, root, &path, missing),
                    None => missing.push(path),
                }
            }
        }
        Value::Array(items) => {
            for item in items.iter().take(2) {
                undescribed(item, &schema["items"], root, path, missing);
            }
        }
        _ => {}
    }
}
