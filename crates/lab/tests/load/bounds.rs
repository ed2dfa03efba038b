//! What the generator itself may need, whatever a service sends.

use std::fs;
use std::io::Write;
use std::time::Duration;

use slackwater_lab::load::LoadError;
use slackwater_lab::plan::{Http, Load, Request};

use crate::loads::{closed, get, histogram, http, open, run, try_run};
use crate::server::{Server, ok, request};

/// Peak memory of this process so far, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn huge_bodies_are_read_and_not_kept() {
    const SIZE: usize = 256 << 20;
    let server = Server::start(|mut stream| {
        let piece = vec![b'x'; 1 << 20];
        while request(&mut stream).is_some() {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", SIZE + 3);
            for _ in 0..SIZE / piece.len() {
                let _ = stream.write_all(&piece);
            }
            let _ = stream.write_all(b"end");
        }
    });
    let one = Request { contains: Some("xend".to_owned()), ..get("/") };
    let load = open(10.0, 100, Http { timeout: Duration::from_secs(60), ..http(one) });
    let before = peak_bytes();
    assert_eq!(run(&load, server.port).n_right, 1);
    assert!(peak_bytes() - before < 16 << 20, "{} bytes more", peak_bytes() - before);
}

#[test]
fn floods_of_headers_and_trailers_are_cut() {
    for begin in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"] {
        let server = Server::start(move |mut stream| {
            if request(&mut stream).is_some() {
                let _ = stream.write_all(begin.as_bytes());
                while stream.write_all(&[b'a'; 4096]).is_ok() {}
            }
        });
        let answers = run(&open(50.0, 100, http(get("/"))), server.port);
        assert_eq!(answers.n_failed, 5, "{answers:?}");
    }
}

#[test]
fn a_large_body_is_sent_whole_to_a_server_that_is_slow_to_read() {
    let server = Server::answering(|request| ok(&(request.len() >= 8 << 20).to_string()));
    let post = Request {
        method: "POST".to_owned(),
        body: vec![b'a'; 8 << 20],
        contains: Some("true".to_owned()),
        ..get("/")
    };
    assert_eq!(run(&open(20.0, 100, http(post)), server.port).n_right, 2);
}

#[test]
fn a_backlog_takes_no_memory() {
    let server = Server::answering(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ok("x")
    });
    let before = peak_bytes();
    // A million requests are due, a dozen get a connection in time.
    let load =
        open(1e6, 1000, Http { connections: 2, timeout: Duration::from_millis(200), ..http(get("/")) });
    let answers = run(&load, server.port);
    assert_eq!(answers.n_due, 1_000_000);
    assert!(answers.n_timeouts > 900_000);
    assert!(peak_bytes() - before < 8 << 20);
}

#[test]
fn processors_that_do_not_exist_are_said() {
    let load = open(10.0, 100, http(get("/")));
    let cancel = std::sync::atomic::AtomicBool::new(false);
    let result = slackwater_lab::load::run(&load, 1, 1, &[1000], &cancel, &mut |_| {});
    assert!(matches!(result, Err(LoadError::Pin { .. })), "{result:?}");
}

#[test]
fn what_is_sent_by_others_is_not_sent_here() {
    for load in [Load::Work, Load::External { command: vec!["wrk".to_owned()] }] {
        assert!(matches!(try_run(&load, 1), Err(LoadError::NotHttp)));
    }
}

#[test]
fn the_histogram_is_whole() {
    let server = Server::answering(|_| ok("x"));
    let answers = run(&closed(4, 200, http(get("/"))), server.port);
    let histogram = histogram(&answers);
    assert_eq!(histogram.len(), answers.n_right);
    assert_eq!(histogram.max() as f64 / 1e6, answers.latency.max);
}
