//! A search, and the stages that it leaves: each is a result like any other.

use serde_json::Value;

use super::Bench;
use crate::{Ran, slackwater};

#[test]
fn every_stage_of_a_search_is_a_result_that_can_be_reported() {
    let bench = Bench::serving(&["right"]);
    let run =
        |words: &str| -> Ran { slackwater(words).current_dir(bench.folder.path()).output().unwrap().into() };
    let ran = run("lab tune lab.toml --budget 70s");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("objective: "), "{}", ran.out);
    for stage in ["rung-1", "confirmation"] {
        let folder = format!("lab.tune/{stage}");
        let ran = run(&format!("lab report {folder} --json"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let result: Value = serde_json::from_str(&ran.out).unwrap();
        let run_arms = super::names(&result["arms"], "name");
        assert!(run_arms.len() > 2 && run_arms[0] == "right", "{run_arms:?}");
        let compared = result["comparison"]["arms"].as_array().unwrap();
        assert_eq!(super::names(&result["comparison"]["arms"], "arm"), run_arms);
        assert!(compared.iter().all(|arm| arm["n_trials"].as_u64() > Some(0)), "{compared:?}");
    }
}
