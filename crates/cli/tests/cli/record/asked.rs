//! How memory was asked for: of a program that asks in every way a known number of times, and of Python's domains.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{python, slackwater};
use crate::validate_by;

/// Volatile, so that no call is left out.
const SOURCE: &str = "
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
void *volatile kept;
int main(void) {
    for (int i = 0; i < 100; i++) kept = malloc(1000);
    for (int i = 0; i < 50; i++) kept = calloc(10, 200);
    for (int i = 0; i < 30; i++) kept = realloc(malloc(8), 3000);
    for (int i = 0; i < 20; i++) { void *at; kept = posix_memalign(&at, 4096, 5000) ? 0 : at; }
    for (int i = 0; i < 5; i++) kept = mmap(0, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    _exit(0);
}
";

fn statistics(folder: &Path) -> Value {
    let (code, out, said) = slackwater(folder, &["stats", "--json", "it"]);
    assert_eq!(code, 0, "{said}");
    let document = serde_json::from_str(&out).unwrap();
    validate_by("record.stats.v1.json", &document);
    document
}

/// Bytes and calls; none where nothing was asked for in this way.
fn by(document: &Value, how: &str) -> (u64, u64) {
    let it = document["asked"].as_array().unwrap().iter().find(|one| one["by"] == how);
    let number = |what: &str| it.map_or(0, |one| one["allocated"][what].as_u64().unwrap());
    (number("bytes"), number("count"))
}

/// What was asked for in all ways is what was allocated; each number is rounded by itself.
pub(super) fn check_total(document: &Value) {
    for of in document["processes"].as_array().unwrap().iter().chain([document]) {
        for what in ["bytes", "count"] {
            let asked = of["asked"].as_array().unwrap();
            let sum: u64 = asked.iter().map(|one| one["allocated"][what].as_u64().unwrap()).sum();
            let total = of["allocated"][what].as_u64().unwrap();
            assert!(sum.abs_diff(total) <= asked.len() as u64, "{what}: {sum} of {total} in {asked:?}");
        }
    }
}

#[test]
fn every_way_to_ask_is_counted_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("asks.c"), SOURCE).unwrap();
    let compiled = Command::new("cc").current_dir(folder.path()).args(["-o", "asks", "asks.c"]).status();
    assert!(compiled.unwrap().success());
    let record = |options: &[&str]| {
        let words = [&["record", "-f", "-o", "it"], options, &["--", "./asks"]].concat();
        let (code, _, said) = slackwater(folder.path(), &words);
        assert_eq!(code, 0, "{said}");
        statistics(folder.path())
    };
    let document = record(&["--exact"]);
    check_total(&document);
    assert_eq!(by(&document, "malloc"), (100 * 1000 + 30 * 8, 130));
    assert_eq!(by(&document, "calloc"), (50 * 2000, 50));
    assert_eq!(by(&document, "realloc"), (30 * 3000, 30));
    assert_eq!(by(&document, "aligned"), (20 * 5000, 20));
    assert_eq!(by(&document, "mapping"), (5 << 20, 5));
    assert_eq!(by(&document, "python_object"), (0, 0));
    assert_eq!(document["asked"], document["processes"][0]["asked"]);
    let (_, out, _) = slackwater(folder.path(), &["stats", "it"]);
    let shown: Vec<String> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in ["allocated calls asked by", "100 kB 130 malloc", "90.0 kB 30 realloc", "5.2 MB 5 mmap"] {
        assert!(shown.iter().any(|one| one == line), "no {line:?} in {out}");
    }

    // Samples stand for their like, and say what they may be off by; mappings are certain.
    let document = record(&["--sample", "4096"]);
    check_total(&document);
    let of = |how: &str| {
        let asked = document["asked"].as_array().unwrap();
        asked.iter().find(|one| one["by"] == how).unwrap()["allocated"].clone()
    };
    let malloc = of("malloc");
    let [low, bytes, high] = ["low_bytes", "bytes", "high_bytes"].map(|what| malloc[what].as_u64().unwrap());
    assert!(low < bytes && bytes < high && malloc["exact"] == false, "{malloc}");
    // As wide as seven standard deviations of so many blocks of that size.
    assert!((1..300_000).contains(&bytes), "{malloc}");
    assert_eq!((of("mapping")["bytes"].as_u64(), of("mapping")["count"].as_u64()), (Some(5 << 20), Some(5)));
}

#[test]
fn domains_of_python_are_counted_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let source = "
import os
kept = [object() for _ in range(5000)]
kept.append(bytearray(70_000))
os._exit(0)
";
    let python = python();
    let words = ["record", "--exact", "--python-allocators", "-o", "it", "--", &python, "-S", "-c", source];
    let (code, _, said) = slackwater(folder.path(), &words);
    assert_eq!(code, 0, "{said}");
    let document = statistics(folder.path());
    check_total(&document);
    let (bytes, calls) = by(&document, "python_object");
    assert!(calls >= 5000 && bytes >= 5000 * 16, "{document}");
    assert!(by(&document, "python_mem").1 > 0 && by(&document, "python_raw").1 > 0, "{document}");
    let (_, out, _) = slackwater(folder.path(), &["stats", "it"]);
    assert!(
        ["Python, objects\n", "Python, memory\n", "Python, raw memory\n"].iter().all(|one| out.contains(one))
    );
}
