//! Services that answer wrongly, late, in pieces, or not at all: each is counted as what it is.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use slackwater_lab::plan::{Http, Load, Request};
use slackwater_lab::result::Answers;

use crate::loads::{closed, get, http, open, run};
use crate::server::{Server, ok, request};

/// Twenty requests.
fn load(request: Request) -> Load {
    open(200.0, 100, http(request))
}

/// Right, wrong, timeouts, failed.
fn counts(answers: &Answers) -> [u64; 4] {
    [answers.n_right, answers.n_wrong, answers.n_timeouts, answers.n_failed]
}

/// What comes of an answer that is sent for every request.
fn check(answer: &'static [u8], request: Request, expected: [u64; 4]) -> Answers {
    let server = Server::answering(|_| answer.to_vec());
    let answers = run(&load(request), server.port);
    assert_eq!(counts(&answers), expected, "{}: {answers:?}", String::from_utf8_lossy(answer));
    answers
}

const RIGHT: [u64; 4] = [20, 0, 0, 0];
const WRONG: [u64; 4] = [0, 20, 0, 0];
const FAILED: [u64; 4] = [0, 0, 0, 20];

#[test]
fn statuses_and_bodies_are_checked() {
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno\nsuch";
    let answers = check(not_found, get("/"), WRONG);
    assert_eq!(answers.example_of_wrong.as_deref(), Some("status 404: no such"));
    assert_eq!(answers.latency.max, 0.0, "latency is that of right answers");
    check(not_found, Request { status: Some(404), ..get("/") }, RIGHT);
    check(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", get("/"), RIGHT);
    check(
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        Request { status: Some(200), ..get("/") },
        WRONG,
    );
    let mean = || Request { contains: Some("mean".to_owned()), ..get("/") };
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"mean\"}", mean(), RIGHT);
    let answers = check(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"maen\"}", mean(), WRONG);
    assert_eq!(answers.example_of_wrong.as_deref(), Some("status 200: {\"maen\"}"));
}

#[test]
fn bodies_may_come_in_every_way_of_http() {
    let x = || Request { contains: Some("hello world".to_owned()), ..get("/") };
    check(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            7;a=b\r\nhello w\r\n4\r\norld\r\n0\r\nT: x\r\n\r\n",
        x(),
        RIGHT,
    );
    // Interim answers are not the answer.
    check(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        x(),
        RIGHT,
    );
    check(b"HTTP/1.1 204 No Content\r\n\r\n", get("/"), RIGHT);
    check(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", get("/"), RIGHT);
    let head = Request { method: "HEAD".to_owned(), ..get("/") };
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", head, RIGHT);
    let until_closed = Server::start(|mut stream| {
        if request(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello world");
        }
    });
    assert_eq!(counts(&run(&load(x()), until_closed.port)), RIGHT);
}

#[test]
fn what_is_no_answer_fails() {
    check(b"220 mail.example.org ESMTP\r\n\r\n", get("/"), FAILED);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", get("/"), FAILED);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", get("/"), FAILED);
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", get("/"), FAILED);
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", get("/"), FAILED);
    let answers = check(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", get("/"), FAILED);
    assert_eq!(answers.example_of_wrong.as_deref(), Some("not an answer: it switches to another protocol"));
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let answers = run(&load(get("/")), port);
    assert_eq!(counts(&answers), FAILED);
    assert!(answers.example_of_wrong.unwrap().starts_with("connecting: Connection refused"));
    // Users do not ask a dead port as often as they can.
    let answers = run(&closed(2, 200, http(get("/"))), port);
    assert!((2..=42).contains(&answers.n_failed), "{answers:?}");
}

#[test]
fn connections_that_end_too_early_fail() {
    for part in ["", "HTTP/1.1 200 OK\r\nConte", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"] {
        let server = Server::start(move |mut stream| {
            if request(&mut stream).is_some() {
                let _ = stream.write_all(part.as_bytes());
            }
        });
        assert_eq!(counts(&run(&load(get("/")), server.port)), FAILED, "{part:?}");
        assert_eq!(
            server.n_connections(),
            20,
            "each request has a connection of its own, and none is tried again"
        );
    }
}

#[test]
fn what_the_server_closes_between_answers_is_opened_again() {
    // It says so; it does not say so; it only stops writing and keeps its socket.
    let said =
        Server::answering(|_| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx".to_vec());
    assert_eq!(counts(&run(&load(get("/")), said.port)), RIGHT);
    assert_eq!(said.n_connections(), 20);
    for half in [false, true] {
        let server = Server::start(move |mut stream| {
            if request(&mut stream).is_some() {
                let _ = stream.write_all(&ok("x"));
                if half {
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = request(&mut stream);
                }
            }
        });
        // Each connection rests for 200 ms between two requests, which is enough to see it closed.
        let load = open(40.0, 500, http(get("/")));
        assert_eq!(counts(&run(&load, server.port)), RIGHT);
        assert_eq!(server.n_connections(), 20);
    }
}

#[test]
fn what_meets_a_closing_connection_is_sent_once_more() {
    // It reads the second request on a connection, and closes it without a word: as one that was closing.
    let closing = Server::start(|mut stream| {
        if request(&mut stream).is_some() && stream.write_all(&ok("x")).is_ok() {
            let _ = request(&mut stream);
        }
    });
    let one = |connections| Http { connections, ..http(get("/")) };
    let answers = run(&open(200.0, 100, one(1)), closing.port);
    // The first is answered, the second is resent and answered on a new connection, and so on: all but one.
    assert_eq!((counts(&answers), answers.n_resent), (RIGHT, 19), "{answers:?}");
    assert_eq!(closing.n_connections(), 20);

    // Half an answer is one: the service has worked on it.
    let breaking = Server::start(|mut stream| {
        if request(&mut stream).is_some()
            && stream.write_all(&ok("x")).is_ok()
            && request(&mut stream).is_some()
        {
            let _ = stream.write_all(b"HTTP/1.1 2");
        }
    });
    let answers = run(&open(200.0, 100, one(1)), breaking.port);
    assert_eq!((counts(&answers), answers.n_resent), ([10, 0, 0, 10], 0), "{answers:?}");

    // On a new connection nothing is tried again.
    let silent = Server::start(|mut stream| drop(request(&mut stream)));
    let answers = run(&load(get("/")), silent.port);
    assert_eq!((counts(&answers), answers.n_resent), (FAILED, 0), "{answers:?}");
}

#[test]
fn bytes_that_nobody_asked_for_are_no_answer_to_the_next_request() {
    let server = Server::answering(|_| [ok("mean"), ok("other")].concat());
    let request = Request { contains: Some("mean".to_owned()), ..get("/") };
    assert_eq!(counts(&run(&load(request), server.port)), RIGHT);
    assert_eq!(server.n_connections(), 20, "such a connection is not used again");
}

#[test]
fn slow_answers_are_waited_for_and_overdue_ones_given_up() {
    let slow = Server::answering(|_| {
        thread::sleep(Duration::from_millis(150));
        ok("x")
    });
    let with = |connections, timeout_ms| {
        open(100.0, 100, Http { connections, timeout: Duration::from_millis(timeout_ms), ..http(get("/")) })
    };
    let answers = run(&with(10, 5000), slow.port);
    assert_eq!(counts(&answers), [10, 0, 0, 0]);
    assert!(answers.latency.p50 >= 0.15);
    assert_eq!(counts(&run(&with(10, 50), slow.port)), [0, 0, 10, 0]);
    // On one connection they wait for each other, and that is their latency.
    let answers = run(&with(1, 5000), slow.port);
    assert_eq!(counts(&answers), [10, 0, 0, 0]);
    assert!(answers.latency.max >= 1.5 - 0.1, "{answers:?}");
    assert!(answers.late_p99_seconds < 0.7, "the wait is the service's, not the generator's: {answers:?}");
    // Those who waited too long for the connection are gone before they get it.
    let answers = run(&with(1, 300), slow.port);
    assert_eq!(answers.n_right + answers.n_timeouts, 10);
    assert!(answers.n_right <= 3 && answers.n_timeouts >= 7, "{answers:?}");
}

#[test]
fn an_answer_may_drip() {
    let dripping = Server::start(|mut stream| {
        while request(&mut stream).is_some() {
            for byte in
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            {
                let _ = stream.write_all(&[*byte]);
                thread::sleep(Duration::from_micros(200));
            }
        }
    });
    let request = Request { contains: Some("bcd".to_owned()), ..get("/") };
    assert_eq!(counts(&run(&load(request), dripping.port)), RIGHT);
}
