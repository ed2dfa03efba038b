//! A call is made, and the victim does not notice.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use common::{Peek, eventually, process, program, trim, until_blocked, victim};
use slackwater_inject::Options;

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
    let outcome = trim(&process, &Options::default()).unwrap();
    assert!(outcome.finished);
    let after = process.usage().unwrap().rss_bytes;
    assert!(before - after > 35_000_000, "{before} to {after}: {outcome:?}");
    assert_eq!(victim.ask("still").unwrap(), "");
}

/// How a wait is ended from outside, if it does not end by itself.
enum Wake {
    Line,
    Connection,
    Time,
}

#[test]
fn waits_go_on_without_eintr() {
    let mut victim = victim("waits", WAITS);
    let process = process(&victim);
    let mut check = |how: &str, wake: Wake, expected: &str| {
        victim.send(how).unwrap();
        assert_eq!(victim.answer("the wait").unwrap(), "waiting");
        until_blocked(&process);
        let times = if matches!(wake, Wake::Time) { 2 } else { 10 };
        for _ in 0..times {
            let outcome =
                trim(&process, &Options::default()).unwrap_or_else(|error| panic!("{how}: {error}"));
            assert!(outcome.finished, "{how}");
        }
        match wake {
            Wake::Line => victim.send("wake").unwrap(),
            Wake::Connection => {
                let name = format!("slackwater-waits-{}", process.pid());
                UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
            }
            Wake::Time => {}
        }
        // The result, errno, and whether the signal mask and the alternate stack are as they were.
        assert_eq!(victim.answer(how).unwrap(), expected, "{how}");
    };
    for how in [
        "poll",
        "poll_timeout",
        "ppoll_mask",
        "select",
        "select_timeout",
        "pselect_mask",
        "epoll",
        "epoll_timeout",
        "epoll_mask",
    ] {
        check(how, Wake::Line, "1 0 1 1");
    }
    check("accept", Wake::Connection, "1 0 1 1");
    for how in ["nanosleep", "sleep_until", "semaphore", "condition", "sigtimedwait"] {
        check(how, Wake::Time, "0 0 1 1");
    }
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
        let outcome = trim(&process, &Options::default()).unwrap();
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
