//! Open and closed loads: how many requests, when, and what a stall looks like.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use slackwater_lab::load::{self, LoadError};
use slackwater_lab::plan::{Http, Load, Request, Step};
use slackwater_lab::result::Answers;

use crate::loads::{closed, get, histogram, http, open, run, try_run};
use crate::server::{Server, ok};

#[test]
fn an_open_load_sends_what_is_due_and_takes_its_time() {
    let server = Server::answering(|_| ok("hello"));
    let loaded = try_run(&open(200.0, 500, http(get("/"))), server.port).unwrap();
    assert!(loaded.until - loaded.from >= Duration::from_millis(500));
    let answers = loaded.answers;
    assert_eq!((answers.n_due, answers.n_right), (100, 100), "{answers:?}");
    assert!(answers.right_per_second <= 200.0);
    assert!(answers.latency.p50 > 0.0 && answers.latency.p50 <= answers.latency.max);
    assert_eq!(server.n_connections(), 8, "requests go around all connections, which are kept");
}

#[test]
fn steps_follow_each_other() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = Server::answering(move |_| {
        log.lock().unwrap().push(Instant::now());
        ok("")
    });
    let step = |rate_per_second, ms| Step { rate_per_second, duration: Duration::from_millis(ms) };
    let load =
        Load::Open { steps: vec![step(50.0, 200), step(10.0, 300), step(100.0, 100)], http: http(get("/")) };
    let before = Instant::now();
    assert_eq!(run(&load, server.port).n_right, 10 + 3 + 10);
    // Late perhaps, but never early.
    let due_ms = (0..10).map(|n| n * 20).chain([200, 300, 400]).chain((0..10).map(|n| 500 + n * 10));
    for (at, due_ms) in seen.lock().unwrap().iter().zip(due_ms) {
        assert!(*at - before >= Duration::from_millis(due_ms), "the request due at {due_ms} ms came before");
    }
}

/// Serves at once, save that all answers wait while the server stalls for 300 ms, once.
fn stalling() -> Server {
    let began = Instant::now();
    Server::answering(move |_| {
        let stall = Duration::from_millis(400)..Duration::from_millis(700);
        if stall.contains(&began.elapsed()) {
            thread::sleep(stall.end.saturating_sub(began.elapsed()));
        }
        ok("x")
    })
}

#[test]
fn fault_44_a_stall_shows_in_an_open_load_and_hides_in_a_closed_one() {
    let one = || Http { connections: 1, ..http(get("/")) };
    // A hundred requests are due in the first 200 ms of the stall: all of them wait for its end.
    let open_loop = run(&open(500.0, 1000, one()), stalling().port);
    assert_eq!(open_loop.n_right, 500);
    assert!(n_slow(&open_loop) >= 99, "{open_loop:?}");
    // A user who waits out the stall asks nothing meanwhile. Even if the machine stalled as well, one second
    // has room for no more than ten slow answers, and one that began in it.
    let closed_loop = run(&closed(1, 1000, one()), stalling().port);
    assert!(closed_loop.latency.max > 0.25, "{closed_loop:?}");
    assert!(n_slow(&closed_loop) <= 11, "{closed_loop:?}");
}

/// Answers that took a tenth of a second or more.
fn n_slow(answers: &Answers) -> u64 {
    histogram(answers).count_between(100_000, u64::MAX)
}

#[test]
fn users_ask_one_after_the_other_and_think_between() {
    let server = Server::answering(|_| ok("x"));
    let Load::Closed { users, duration, http, .. } = closed(3, 300, http(get("/"))) else { unreachable!() };
    let load = Load::Closed { users, duration, http, think: Duration::from_millis(100) };
    // At 0, 100 and 200 ms, or later.
    let answers = run(&load, server.port);
    assert!((3..=9).contains(&answers.n_right), "{answers:?}");
    assert_eq!(server.n_connections(), 3);
}

#[test]
fn the_same_seed_asks_the_same_and_n_counts() {
    let asked = |seed| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let server = Server::answering({
            let log = Arc::clone(&log);
            move |request| {
                log.lock().unwrap().push(request.replace("\r\n", "|"));
                ok("x")
            }
        });
        let request =
            Request { method: "POST".to_owned(), body: b"{\"n\": {n}}".to_vec(), ..get("/{random:0..1000}") };
        let load = open(400.0, 100, Http { connections: 1, ..http(request) });
        load::run(&load, server.port, seed, &[], &AtomicBool::new(false), &mut |_| {}).unwrap();
        let port = server.port.to_string();
        let log = log.lock().unwrap();
        log.iter().map(|request| request.replace(&port, "PORT")).collect::<Vec<_>>()
    };
    let once = asked(5);
    assert_eq!(once.len(), 40);
    assert!(once[39].ends_with("||{\"n\": 39}"), "{}", once[39]);
    assert_eq!(once, asked(5));
    assert_ne!(once, asked(6));
}

#[test]
fn cancelling_ends_it_long_before_its_time() {
    // Nothing is ever answered, and the timeout is far away.
    let server = Server::start(|stream| {
        thread::park();
        drop(stream);
    });
    let cancel = AtomicBool::new(false);
    let load = open(10.0, 60_000, Http { timeout: Duration::from_secs(60), ..http(get("/")) });
    let mut n_calls = 0;
    let result = load::run(&load, server.port, 1, &[0], &cancel, &mut |progress| {
        n_calls += 1;
        assert_eq!((progress.n_right, progress.n_bad), (0, 0));
        cancel.store(progress.elapsed > Duration::from_millis(200), Ordering::Relaxed);
    });
    assert!(matches!(result, Err(LoadError::Cancelled)));
    assert!((2..10).contains(&n_calls), "{n_calls} calls in 200 ms, then one tick to the end");
}
