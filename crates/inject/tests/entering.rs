//! A call is made, and the victim does not notice.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use common::{Peek, check_waits, eventually, patient, process, program, trim, victim};

const WAITS: &str = include_str!("victims/waits.c");
const SPINNER: &str = include_str!("victims/spinner.c");

#[test]
fn trims_a_heap_in_a_blocked_read() {
    let mut victim = victim(
        "freed_holes",
        r#"
        #include "planted.h"
        enum { COUNT = 20000 };
        static void *blocks[COUNT];
        int main(void) {
            mallopt(M_TRIM_THRESHOLD, 1 << 30);
            for (int i = 0; i < COUNT; i++) memset(blocks[i] = malloc(2000), 1, 2000);
            for (int i = 0; i + 1 < COUNT; i++) free(blocks[i]);
            ready("%p", blocks[COUNT - 1]);
            serve();
        }"#,
    );
    let process = process(&victim);
    let before = process.usage().unwrap().rss_bytes;
    let outcome = trim(&process, &patient()).unwrap();
    assert!(outcome.finished);
    let after = process.usage().unwrap().rss_bytes;
    assert!(before - after > 35_000_000, "{before} to {after}: {outcome:?}");
    assert_eq!(victim.ask("still").unwrap(), "");
}

#[test]
fn waits_go_on_without_eintr() {
    check_waits(&mut victim("waits", WAITS));
}

/// Enters the spinner many times while it spins; returns what it found wrong, and its alarms.
fn spin(arguments: &[&str], entries: usize) -> Vec<u64> {
    let program =
        arguments.iter().fold(program("spinner", SPINNER), |program, argument| program.arg(argument));
    let mut victim = program.spawn().unwrap();
    let process = process(&victim);
    let [counter, stop, _] = victim.greeting_numbers()[..] else { panic!("three addresses") };
    let peek = Peek::at(&victim);
    victim.send("spin").unwrap();
    eventually("spinning", || peek.word(counter) > 0);
    let mut refusals = 0;
    for _ in 0..entries {
        let before = peek.word(counter);
        let outcome = trim(&process, &patient()).unwrap();
        assert!(outcome.finished);
        refusals += outcome.refusals;
        eventually("progress", || peek.word(counter) > before);
    }
    eprintln!("{entries} entries, {refusals} refusals");
    peek.set_flag(stop);
    let answer = victim.answer("the spinner's findings").unwrap();
    answer.split(' ').map(|word| word.parse().unwrap()).collect()
}

#[test]
fn every_register_survives_in_running_code() {
    assert_eq!(spin(&[], 100), [0, 0]);
}

#[test]
fn signals_at_a_thousand_per_second_are_all_handled() {
    let [wrong, alarms] = spin(&["timer"], 100)[..] else { panic!("two numbers") };
    assert_eq!(wrong, 0);
    assert!(alarms > 20, "{alarms} alarms");
}
