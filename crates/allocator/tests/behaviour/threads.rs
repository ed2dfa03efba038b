//! Threads that come and go, threads with hardly any stack, and stacks that are switched by hand.

use std::process::Command;
use std::time::Duration;

use slackwater_testkit::wheel;

use crate::preload::{MIB, falls_below, library, output, program, resident_bytes, under};

#[test]
fn thousands_of_threads_that_exit_leave_nothing() {
    let mut target = under(&program!("exiting_threads")).env("SLACKWATER_GOVERNOR", "on").spawn().unwrap();
    target.ask("1000").unwrap();
    let settled = falls_below(target.pid(), 20 * MIB, Duration::from_secs(3));
    assert_eq!(settled, Ok(()), "after the first thousand");
    let before = resident_bytes(target.pid());
    target.ask("9000").unwrap();
    let after = falls_below(target.pid(), before + 2 * MIB, Duration::from_secs(3));
    assert_eq!(after, Ok(()), "{before} before nine thousand more");
}

#[test]
fn fault_23_threads_with_the_smallest_stacks_allocate() {
    let mut target = under(&program!("small_stacks")).env("SLACKWATER_GOVERNOR", "on").spawn().unwrap();
    assert_eq!(target.ask("go").unwrap(), "0 failed");
}

#[test]
fn fault_23_greenlets_and_gevent_run_on_it() {
    let Some(python) = wheel("python") else { return };
    let source = r#"
import gevent, gevent.pool, greenlet
def switch(n):
    kept = [bytes(n % 3000 + i) for i in range(20)]
    gevent.sleep(0)
    return sum(map(len, kept))
pool = gevent.pool.Pool(200)
print(len(pool.map(switch, range(5000))))
main = greenlet.getcurrent()
def bounce():
    while True:
        main.switch(bytes(5000))
each = [greenlet.greenlet(bounce) for _ in range(100)]
print(sum(len(one.switch()) for _ in range(50) for one in each))
"#;
    let (text, diagnostics, _) =
        output(Command::new(python).args(["-c", source]).env("LD_PRELOAD", library()));
    assert_eq!(text, "5000\n25000000\n", "{diagnostics}");
}
