//! Forks of every kind while sixteen threads allocate: no child hangs, none is damaged.

use std::time::Duration;

use crate::preload::{program, under};

/// Forks per kind: `SLACKWATER_STORM` asks for more.
fn n_forks(few: u32) -> u32 {
    std::env::var("SLACKWATER_STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn storm(kind: &str, few: u32, governor: &str) {
    let n = n_forks(few);
    let mut target = under(&program!("fork_storm"))
        .env("SLACKWATER_GOVERNOR", governor)
        .patience(Duration::from_secs(60 + u64::from(n)))
        .spawn()
        .unwrap();
    let answer = target.ask(&format!("{kind} {n}")).unwrap();
    assert_eq!(answer, format!("{n} well, 0 failed, 0 hung"), "{kind}: {}", target.said());
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
