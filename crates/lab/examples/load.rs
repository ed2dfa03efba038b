//! The load generator by itself, for `bench/run load`:
//! `load open RATE | closed USERS, PORT, CPU, SECONDS, CONNECTIONS`. Prints what it saw as JSON.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;
use slackwater_lab::load;
use slackwater_lab::plan::{Http, Load, Request, Step};

#[expect(clippy::print_stdout, reason = "the bench reads it")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, amount, port, cpu, seconds, connections] = words.as_slice() else {
        return Err("load open RATE | closed USERS, PORT, CPU, SECONDS, CONNECTIONS".into());
    };
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let request = Request {
        weight: 1.0,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        body_file: None,
        status: Some(200),
        contains: None,
    };
    let http =
        Http { requests: vec![request], connections: connections.parse()?, timeout: Duration::from_secs(10) };
    let load = match model.as_str() {
        "open" => Load::Open { steps: vec![Step { rate_per_second: amount.parse()?, duration }], http },
        _ => Load::Closed { users: amount.parse()?, think: Duration::ZERO, duration, http },
    };
    let loaded = load::run(&load, port.parse()?, 1, &[cpu.parse()?], &AtomicBool::new(false), &mut |_| {})?;
    let seconds = (loaded.until - loaded.from).as_secs_f64();
    println!("{}", json!({ "seconds": seconds, "answers": loaded.answers }));
    Ok(())
}
