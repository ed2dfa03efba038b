//! The malloc interface, entry by entry, compared with the host's glibc.

use std::collections::BTreeMap;

use slackwater_testkit::{Linking, Program};

use crate::preload::{output, program, under};

/// Where we differ from glibc 2.36, and why that is right. A name may end in `*`.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "blocks of up to 8 bytes are aligned to 16",
        "no",
        "C asks for the alignment that a block of that size can need",
    ),
    ("free_sized", "there", "C23; glibc has it since 2.43"),
    ("free_aligned_sized", "there", "C23; glibc has it since 2.43"),
];

/// `name: what happened`, as both allocators print it.
fn lines(program: &Program) -> BTreeMap<String, String> {
    let (text, diagnostics, code) = output(&mut program.to_command());
    assert_eq!(code, Some(0), "{text}{diagnostics}");
    text.lines()
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .collect()
}

fn expected(name: &str) -> Option<&'static str> {
    let is_for = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    DIFFERENCES.iter().find(|(pattern, ..)| is_for(pattern)).map(|(_, ours, _)| *ours)
}

#[test]
fn fault_26_every_entry_answers_as_glibc_does() {
    let program = program!("conformance");
    let (glibc, ours) = (lines(&program), lines(&under(&program)));
    assert!(glibc.len() > 200);
    assert_eq!(glibc.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    let mut faults = Vec::new();
    for (name, theirs) in &glibc {
        let mine = &ours[name];
        if mine != expected(name).unwrap_or(theirs) {
            faults.push(format!("{name}\n    glibc: {theirs}\n    ours:  {mine}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn fault_26_new_and_delete_work() {
    let source = include_str!("../programs/operators.cc");
    let flags = ["-x", "c++", "-std=c++17", "-lstdc++"];
    let program = Program::compiled("g++", "operators", source, Linking::Dynamic, &flags).unwrap();
    let (glibc, ours) = (lines(&program), lines(&under(&program)));
    assert_eq!(glibc, ours);
    assert!(ours.values().all(|what| what == "yes"), "{ours:?}");
}

#[test]
fn fault_26_malloc_stats_writes_to_standard_error_only() {
    let (_, diagnostics, _) = output(&mut under(&program!("conformance")).to_command());
    assert!(!diagnostics.trim().is_empty());
}
