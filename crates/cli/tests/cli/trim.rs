//! `trim`: what was predicted comes back, and nothing else happens.

use serde_json::Value;
use slackwater_testkit::{Program, Target};

use crate::{json, retaining, rss_and_faults, run};

const MIB: u64 = 1 << 20;

fn trim(target: &Target, words: &str) -> Value {
    json(&format!("trim --pid {} --json {words}", target.pid())).remove(0)
}

fn bytes(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} of {row:#}"))
}

#[track_caller]
pub(crate) fn assert_as_predicted(row: &Value) {
    let (predicted, released) = (bytes(row, "predicted_bytes"), bytes(row, "released_bytes"));
    let allowed = (predicted / 50).max(2 * MIB);
    assert!(predicted.abs_diff(released) <= allowed, "predicted {predicted}, released {released}: {row:#}");
}

#[test]
fn what_was_predicted_comes_back_and_the_service_goes_on() {
    let mut target = retaining();
    let row = trim(&target, "");
    assert_eq!(row["outcome"], "trimmed", "{row:#}");
    assert!(bytes(&row, "released_bytes") > 80 * MIB, "{row:#}");
    assert_as_predicted(&row);
    assert_eq!(target.ask("still there?").unwrap(), "");

    // Directly afterwards there is next to nothing left.
    let again = trim(&target, "--above 0");
    assert_as_predicted(&again);
    assert!(bytes(&again, "predicted_bytes") <= 2 * MIB, "{again:#}");
    assert_eq!(target.ask("and now?").unwrap(), "");
}

#[test]
fn the_ends_of_arenas_come_back_only_with_deep() {
    // Freeing one large mapped block raises glibc's thresholds for good: what a thread frees after
    // that stays at the end of its arena, which malloc_trim does not visit.
    let source = r#"
        #include "planted.h"
        #include <pthread.h>
        #include <stdint.h>
        static pthread_barrier_t done;
        static void *burst(void *unused) {
            void *volatile blocks[40];
            for (int i = 0; i < 40; i++) memset(blocks[i] = malloc(1 << 20), i, 1 << 20);
            for (int i = 0; i < 40; i++) free(blocks[i]);
            pthread_barrier_wait(&done);
            for (;;) pause();
        }
        int main(void) {
            void *volatile large = malloc(30 << 20);
            free(large);
            pthread_barrier_init(&done, NULL, 2);
            pthread_t thread;
            pthread_create(&thread, NULL, burst, NULL);
            pthread_barrier_wait(&done);
            ready("");
            while (next_command()) reply("");
        }"#;
    let target = Program::c("holds_a_top", source).unwrap().spawn().unwrap();
    let plain = trim(&target, "--above 0");
    assert_as_predicted(&plain);
    let deep = trim(&target, "--above 0 --deep");
    assert_as_predicted(&deep);
    assert!(bytes(&plain, "released_bytes") < 2 * MIB, "{plain:#}");
    assert!(bytes(&deep, "released_bytes") > 35 * MIB, "plain {plain:#} deep {deep:#}");
    let again = trim(&target, "--above 0 --deep");
    assert!(bytes(&again, "predicted_bytes") <= 2 * MIB, "{again:#}");
}

#[test]
fn fault_10_no_file_is_needed_where_the_target_lives() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can make a mount namespace");
        return;
    }
    // Everything read-only, and nothing executable but what the system has.
    let python = Program::python(crate::python(), "retains", crate::RETAINS).unwrap().to_command();
    let words: Vec<&str> = python.get_args().map(|word| word.to_str().unwrap()).collect();
    let script = format!(
        "mount -o remount,bind,ro / && mount -t tmpfs -o noexec,ro none /dev/shm && exec '{}' {}",
        python.get_program().display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
    );
    let unshare = Program::command(std::path::Path::new("/usr/bin/unshare"));
    let target = unshare.arg("--mount").arg("sh").arg("-c").arg(script).spawn().unwrap();
    let row = trim(&target, "");
    assert_eq!(row["outcome"], "trimmed", "{row:#}");
    assert_as_predicted(&row);
}

#[test]
fn a_dry_run_enters_nothing() {
    let target = retaining();
    let before = rss_and_faults(target.pid());
    let row = trim(&target, "--dry-run");
    assert_eq!(row["outcome"], "dry-run");
    assert!(row["released_bytes"].is_null());
    assert_eq!(rss_and_faults(target.pid()), before);
}

#[test]
fn too_little_is_left_alone() {
    let target = retaining();
    let before = rss_and_faults(target.pid());
    assert_eq!(trim(&target, "--above 10G")["outcome"], "below");
    assert_eq!(rss_and_faults(target.pid()), before);
}

#[test]
fn a_stopped_process_is_not_entered_and_stays_stopped() {
    let target = retaining();
    target.signal(libc::SIGSTOP);
    crate::refusals::wait_for_state(target.pid(), "T");
    let ran = run(&format!("trim --pid {}", target.pid()));
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("stopped") && ran.err.contains("hint:"), "{}", ran.err);
    crate::refusals::wait_for_state(target.pid(), "T");
    target.signal(libc::SIGCONT);
    let row = trim(&target, "");
    assert_eq!(row["outcome"], "trimmed", "{row:#}");
}
