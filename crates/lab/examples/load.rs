//! The load generator by itself, for `bench/run load` and `bench/run record`:
//! `load open RATE | closed USERS, PORT, CPU, SECONDS, CONNECTIONS [PLAN]`. Sends the requests of the plan, or
//! asks for `/`. Prints what it saw as JSON.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;
use slackwater_lab::load;
use slackwater_lab::plan::{self, Http, Load, Request, Step};

#[expect(clippy::print_stdout, reason = "the bench reads it")]
fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, amount, port, cpu, seconds, connections, plan @ ..] = words.as_slice() else {
        return Err("load open RATE | closed USERS, PORT, CPU, SECONDS, CONNECTIONS [PLAN]".into());
    };
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let requests = match plan.first() {
        Some(plan) => requests_of(Path::new(plan))?,
        None => vec![root()],
    };
    let http = Http { requests, connections: connections.parse()?, timeout: Duration::from_secs(10) };
    let load = match model.as_str() {
        "open" => Load::Open { steps: vec![Step { rate_per_second: amount.parse()?, duration }], http },
        _ => Load::Closed { users: amount.parse()?, think: Duration::ZERO, duration, http },
    };
    let loaded = load::run(&load, port.parse()?, 1, &[cpu.parse()?], &AtomicBool::new(false), &mut |_| {})?;
    let seconds = (loaded.until - loaded.from).as_secs_f64();
    println!("{}", json!({ "seconds": seconds, "answers": loaded.answers }));
    Ok(())
}

fn root() -> Request {
    Request {
        weight: 1.0,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        body_file: None,
        status: Some(200),
        contains: None,
    }
}

fn requests_of(path: &Path) -> Result<Vec<Request>, Box<dyn Error>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    match plan::read(&std::fs::read_to_string(path)?, folder)?.load {
        Load::Open { http, .. } | Load::Closed { http, .. } => Ok(http.requests),
        Load::External { .. } | Load::Work => Err("the plan sends no requests of its own".into()),
    }
}
