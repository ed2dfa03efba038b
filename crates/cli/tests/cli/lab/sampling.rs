//! What is sampled is what the service did.

use serde_json::Value;

use super::Bench;

/// Forks a child that holds 48 MiB and burns half a second of processor time, collects it, and lives on
/// with 24 MiB of its own.
const FORKS: &str = r#"
import os, time

own = bytearray(b"x") * (24 << 20)
if os.fork() == 0:
    more = bytearray(b"x") * (48 << 20)
    while time.process_time() < 0.5:
        pass
    time.sleep(1)
    os._exit(0)
os.wait()
time.sleep(1)
"#;

#[test]
fn memory_and_processor_time_of_workers_that_come_and_go() {
    let bench = Bench::working(FORKS, "", 1);
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = bench.result();
    let trial = &result["trials"][0];
    let series = trial["series"].as_array().unwrap();
    let each = |point: &Value| -> Vec<u64> {
        point["each_rss_bytes"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).collect()
    };
    assert!(
        series.iter().any(|point| each(point).get(1).is_some_and(|bytes| *bytes > 48 << 20)),
        "the child was seen"
    );
    // Not the last sample: that may be of a process which is giving its memory back as it ends.
    let is_after = |each: Vec<u64>| each[0] > 24 << 20 && each[1..] == [0];
    assert!(series.iter().map(each).any(is_after), "the child keeps its place: {series:#?}");
    for pair in series.windows(2) {
        assert!(
            pair[0]["cpu_seconds"].as_f64() <= pair[1]["cpu_seconds"].as_f64(),
            "never shrinks: {pair:?}"
        );
        let sum: u64 = each(&pair[0]).iter().sum();
        assert_eq!(pair[0]["rss_bytes"].as_u64().unwrap(), sum);
    }
    let round = &trial["rounds"][0];
    let cpu = round["cpu_seconds"].as_f64().unwrap();
    assert!((0.5..5.0).contains(&cpu), "what a collected child used is counted, once: {cpu}");
    // Both hold the 24 MiB that the parent had written.
    assert!(round["peak_rss_bytes"].as_u64().unwrap() > (24 + 24 + 48) << 20, "{round}");
    assert!(round["minor_faults"].as_u64().unwrap() > (24 + 48) << (20 - 12 - 1), "{round}");
    assert_eq!(round["load_until"], round["idle_until"]);
    assert!(!trial["ledgers"].as_array().unwrap().is_empty(), "looked into while it worked");
    assert_eq!(trial["in_force"][0]["objects"], "pymalloc");
    assert!(
        trial["in_force"][0]["allocator"].as_str().unwrap().starts_with("glibc "),
        "{}",
        trial["in_force"]
    );
    bench.assert_nothing_is_left();
}
