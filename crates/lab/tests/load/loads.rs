//! Loads as tests state them, and what came of them.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use slackwater_lab::load::{self, LoadError, Loaded};
use slackwater_lab::plan::{Http, Load, Request, Step};
use slackwater_lab::result::Answers;

pub(crate) fn get(path: &str) -> Request {
    Request {
        weight: 1.0,
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        body_file: None,
        status: None,
        contains: None,
    }
}

pub(crate) fn http(request: Request) -> Http {
    Http { requests: vec![request], connections: 8, timeout: Duration::from_secs(5) }
}

/// This many requests per second for this long.
pub(crate) fn open(rate_per_second: f64, ms: u64, http: Http) -> Load {
    Load::Open { steps: vec![Step { rate_per_second, duration: Duration::from_millis(ms) }], http }
}

pub(crate) fn closed(users: usize, ms: u64, http: Http) -> Load {
    Load::Closed { users, think: Duration::ZERO, duration: Duration::from_millis(ms), http }
}

pub(crate) fn try_run(load: &Load, port: u16) -> Result<Loaded, LoadError> {
    load::run(load, port, 1, &[], &AtomicBool::new(false), &mut |_| {})
}

/// What came of it; every request has to have ended in exactly one way.
pub(crate) fn run(load: &Load, port: u16) -> Answers {
    let answers = try_run(load, port).unwrap().answers;
    let n_ended = answers.n_right + answers.n_wrong + answers.n_timeouts + answers.n_failed;
    assert_eq!(answers.n_due, n_ended, "{answers:?}");
    answers
}

/// The latencies, in microseconds.
pub(crate) fn histogram(answers: &Answers) -> Histogram<u64> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(&answers.latency_us_hdr).unwrap();
    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
}
