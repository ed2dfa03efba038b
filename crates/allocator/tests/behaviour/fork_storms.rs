//! Forks of every kind while sixteen threads allocate: no child hangs, none is damaged.

use std::time::Duration;

use slackwater_testkit::rounds;

use crate::preload::{program, under};

/// Forks per kind in the long form.
const MANY: u64 = 50_000;

fn storm(kind: &str, few: u64, governor: &str) {
    let mut target = under(&program!("fork_storm"))
        .env("SLACKWATER_GOVERNOR", governor)
        .patience(Duration::from_secs(60 + few))
        .spawn()
        .unwrap();
    for _ in rounds(few, MANY).by(few) {
        let answer = target.ask(&format!("{kind} {few}")).unwrap();
        assert_eq!(answer, format!("{few} well, 0 failed, 0 hung"), "{kind}: {}", target.said());
    }
}

#[test]
fn fault_18_fork() {
    storm("fork", 60, "on");
}

#[test]
fn fault_18_fork_without_a_governor() {
    storm("fork", 30, "off");
}

#[test]
fn fault_18_fork_in_a_fork() {
    storm("twice", 20, "on");
}

#[test]
fn fault_18_vfork() {
    storm("vfork", 200, "on");
}

#[test]
fn fault_18_posix_spawn() {
    storm("spawn", 100, "on");
}

#[test]
fn fault_18_raw_clone() {
    storm("clone", 60, "on");
}
