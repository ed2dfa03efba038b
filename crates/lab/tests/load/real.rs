//! gunicorn under load, and wrk beside ours: what each says it sent is what the server counts.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slackwater_lab::plan::{Http, Request};
use slackwater_testkit::{Program, Target};
use tempfile::TempDir;

use crate::loads::{closed, get, http, open, run};
use crate::server::{Server, ok};

/// Counts what it is asked; answers in chunks, or with an error.
const APP: &str = r#"
import json, os

n_requests = 0

def app(environ, start_response):
    global n_requests
    n_requests += 1
    length = len(environ["wsgi.input"].read())
    status = "500 Oops" if environ["PATH_INFO"] == "/oops" else "200 OK"
    start_response(status, [("Content-Type", "application/json")])
    body = {"count": n_requests, "length": length, "query": environ["QUERY_STRING"], "filler": "x" * 20_000}
    return [piece.encode() for piece in json.JSONEncoder(indent=1).iterencode(body)]

def post_worker_init(worker):
    os.write(1, b"ready %d\n" % worker.sockets[0].getsockname()[1])
"#;

/// One worker on a free port.
struct Gunicorn {
    port: u16,
    _target: Target,
    _folder: TempDir,
}

impl Gunicorn {
    /// `None` where the demo's environment is not there.
    fn start(words: &[&str]) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/.venv/bin/gunicorn");
        if !path.exists() {
            eprintln!("not tested: no gunicorn, which `make setup` installs in demo/.venv");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counting.py");
        std::fs::write(&file, APP).unwrap();
        let mut program = Program::command(&path)
            .env("PYTHONPATH", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--config")
            .arg(&file);
        for word in ["--bind", "127.0.0.1:0", "--no-control-socket", "--log-level", "error"] {
            program = program.arg(word);
        }
        for word in words {
            program = program.arg(word);
        }
        let target = program.arg("counting:app").spawn().unwrap();
        let port = u16::try_from(target.greeting_numbers()[0]).unwrap();
        Some(Self { port, _target: target, _folder: folder })
    }
}

#[test]
fn gunicorn_answers_each_request_once() {
    // Sync workers close every connection; those with threads keep them for a second.
    for words in [
        &["--worker-class", "sync"][..],
        &["--worker-class", "gthread", "--threads", "4", "--keep-alive", "1"],
    ] {
        let Some(gunicorn) = Gunicorn::start(words) else { return };
        let post = Request {
            method: "POST".to_owned(),
            body: vec![b'a'; 3000],
            contains: Some("\"length\": 3000".to_owned()),
            ..get("/?{n}")
        };
        let answers = run(&open(100.0, 1000, http(post)), gunicorn.port);
        assert_eq!((answers.n_due, answers.n_right), (100, 100), "{words:?}: {answers:?}");
        let answers = run(&open(50.0, 100, http(get("/oops"))), gunicorn.port);
        assert_eq!(answers.n_wrong, 5, "{words:?}: {answers:?}");
        assert!(answers.example_of_wrong.unwrap().starts_with("status 500: {  \"count\": "));
        let answers = run(&closed(4, 300, http(get("/"))), gunicorn.port);
        assert_eq!(answers.n_right, answers.n_due);
        // It has counted exactly those, and now the last one.
        let count = format!("\"count\": {},", 100 + 5 + answers.n_due + 1);
        let last = Request { contains: Some(count), ..get("/") };
        assert_eq!(run(&open(10.0, 100, http(last)), gunicorn.port).n_right, 1);
    }
}

#[test]
fn connections_that_gunicorn_closes_while_they_rest_are_no_failures() {
    let words = ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "1"];
    let Some(gunicorn) = Gunicorn::start(&words) else { return };
    let on = |connections| Http { connections, ..http(get("/")) };
    // Each connection has its turn every 1.6 s, long after it was closed, or after a second: as it is closed.
    let answers = run(&open(5.0, 4000, on(8)), gunicorn.port);
    assert_eq!((answers.n_due, answers.n_right), (20, 20), "{answers:?}");
    let answers = run(&open(100.0, 4000, on(100)), gunicorn.port);
    assert_eq!((answers.n_due, answers.n_right), (400, 400), "{answers:?}");
}

#[test]
fn wrk_and_ours_are_counted_alike_by_the_server() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::answering({
        let count = Arc::clone(&count);
        move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            ok("hello")
        }
    });
    let answers =
        run(&closed(4, 1000, Http { timeout: Duration::from_secs(30), ..http(get("/")) }), server.port);
    assert_eq!(answers.n_right, count.swap(0, Ordering::SeqCst) as u64);
    assert_eq!(server.n_connections(), 4);

    let url = format!("http://127.0.0.1:{}/", server.port);
    let Ok(output) = Command::new("wrk").args(["-t1", "-c4", "-d1s", &url]).output() else {
        eprintln!("not tested: no wrk, which `make setup` installs");
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let n_sent = said.lines().find_map(|line| line.trim().split_once(" requests in ")).unwrap().0;
    // It leaves without the answers to its last ones.
    let n_unread = count.load(Ordering::SeqCst) - n_sent.parse::<usize>().unwrap();
    assert!(n_unread <= 4, "{n_unread} more than wrk says\n{said}");
}
