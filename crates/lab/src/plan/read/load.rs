//! `[load]`: what the service is asked to do in each round.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Around;
use super::table::{Table, Value};
use crate::plan::{Http, Load, PlanError, Request, Step};

const OPEN: &[&str] = &["model", "rate", "steps", "duration", "connections", "timeout", "request"];
const CLOSED: &[&str] = &["model", "users", "think", "duration", "connections", "timeout", "request"];
const EXTERNAL: &[&str] = &["model", "command"];
const WORK: &[&str] = &["model"];
const ANY: &[&str] =
    &["model", "rate", "steps", "duration", "connections", "timeout", "request", "users", "think", "command"];
const REQUEST: &[&str] = &["weight", "method", "path", "headers", "body", "body_file", "expect"];

/// More bytes are no body of a request that is sent many times a second.
const MOST_BODY: u64 = 16 << 20;
const MOST_RATE: f64 = 1e6;
const MOST_CONNECTIONS: usize = 10_000;
/// No step of load is shorter.
pub const LEAST_STEP: Duration = Duration::from_millis(100);

pub(super) fn read(root: &Table, around: &Around) -> Result<Load, PlanError> {
    let load = root.need("load", "a table: [load] with model, rate and duration")?;
    let table = load.table(ANY)?;
    let model = match table.get("model") {
        Some(model) => model.one_of(&["open", "closed", "external", "work"], |word| word)?,
        None => "open",
    };
    // A key of another model is known, but does nothing here.
    let of_model = match model {
        "closed" => CLOSED,
        "external" => EXTERNAL,
        "work" => WORK,
        _ => OPEN,
    };
    if let Some(idle) = table.values().iter().find(|value| !of_model.contains(&value.key.as_str())) {
        return Err(idle.conflict(
            format!("{} means nothing to the {model} model", idle.path),
            format!("the {model} model has {}", of_model.join(", ")),
        ));
    }
    match model {
        "closed" => closed(&table, around),
        "external" => {
            let command =
                table.need("command", "the program that loads the service, with {port} or {url}")?;
            Ok(Load::External { command: command.command()? })
        }
        "work" => Ok(Load::Work),
        _ => Ok(Load::Open { steps: steps(&table)?, http: http(&table, around, 64)? }),
    }
}

fn steps(table: &Table) -> Result<Vec<Step>, PlanError> {
    const ACCEPTED: &str = "a list such as [{ rate = 10, for = \"20s\" }, { rate = 40, for = \"10s\" }]";
    let Some(list) = table.get("steps") else {
        let rate = table.need("rate", "the requests per second")?.above_zero(MOST_RATE)?;
        let duration = table.need("duration", "how long a round of load is, such as \"30s\"")?;
        return Ok(vec![Step { rate_per_second: rate, duration: duration.duration(LEAST_STEP)? }]);
    };
    if let Some(other) = table.get("rate").or_else(|| table.get("duration")) {
        return Err(other.conflict(
            format!("load has steps and {}", other.key),
            "each step has its own rate, and its own time under 'for'",
        ));
    }
    let step = |item: &Value| {
        let step = item.table(&["rate", "for"])?;
        Ok(Step {
            rate_per_second: step.need("rate", "the requests per second")?.above_zero(MOST_RATE)?,
            duration: step.need("for", "how long, such as \"20s\"")?.duration(LEAST_STEP)?,
        })
    };
    list.filled_list(ACCEPTED)?.iter().map(step).collect()
}

fn closed(table: &Table, around: &Around) -> Result<Load, PlanError> {
    let users = table.need("users", "how many ask at a time")?.count(1, MOST_CONNECTIONS)?;
    let think = match table.get("think") {
        Some(think) => think.duration(Duration::ZERO)?,
        None => Duration::ZERO,
    };
    let duration = table.need("duration", "how long a round of load is, such as \"30s\"")?;
    let duration = duration.duration(LEAST_STEP)?;
    Ok(Load::Closed { users, think, duration, http: http(table, around, users)? })
}

fn http(table: &Table, around: &Around, connections: usize) -> Result<Http, PlanError> {
    const ACCEPTED: &str = "one [[load.request]] or more, each with a path";
    let requests = table.need("request", ACCEPTED)?.filled_list(ACCEPTED)?;
    Ok(Http {
        requests: requests.iter().map(|item| sendable(item, around)).collect::<Result<_, _>>()?,
        connections: match table.get("connections") {
            Some(value) => value.count(1, MOST_CONNECTIONS)?,
            None => connections,
        },
        timeout: match table.get("timeout") {
            Some(value) => value.duration(Duration::from_millis(1))?,
            None => Duration::from_secs(30),
        },
    })
}

/// A request that the generator can send: it knows variables, and what cannot be part of one.
fn sendable(item: &Value, around: &Around) -> Result<Request, PlanError> {
    let request = request(item, around)?;
    match crate::load::check(std::slice::from_ref(&request)) {
        Ok(()) => Ok(request),
        Err(error) => Err(item.conflict(error.to_string(), "write it as it shall be sent")),
    }
}

fn request(item: &Value, around: &Around) -> Result<Request, PlanError> {
    let table = item.table(REQUEST)?;
    let (body, body_file) = body(&table, around)?;
    let (mut status, mut contains) = (None, None);
    if let Some(expect) = table.get("expect") {
        let expect = expect.table(&["status", "contains"])?;
        if let Some(value) = expect.get("status") {
            status = Some(value.whole(200, 599)? as u16);
        }
        if let Some(value) = expect.get("contains") {
            contains = Some(value.filled("what the body of a right answer contains")?.to_owned());
        }
    }
    Ok(Request {
        weight: match table.get("weight") {
            Some(weight) => weight.above_zero(1e9)?,
            None => 1.0,
        },
        method: match table.get("method") {
            Some(method) => token(&method, "a method such as GET or POST")?,
            None if body.is_empty() => "GET".to_owned(),
            None => "POST".to_owned(),
        },
        path: path(&table.need("path", "what is asked for, such as \"/fleet/{random:0..100}\"")?)?,
        headers: match table.get("headers") {
            Some(headers) => self::headers(&headers)?,
            None => Vec::new(),
        },
        body,
        body_file,
        status,
        contains,
    })
}

/// A path and its query: they go into the first line of a request as they are.
pub(super) fn path(value: &Value) -> Result<String, PlanError> {
    const ACCEPTED: &str = "a path that begins with a slash, without spaces and other signs that have to be \
                            escaped as in %20";
    let path = value.string(ACCEPTED)?;
    let sound = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`|#".contains(&byte));
    if path.starts_with('/') && sound { Ok(path.to_owned()) } else { Err(value.refuse(ACCEPTED)) }
}

fn token(value: &Value, accepted: &str) -> Result<String, PlanError> {
    let text = value.filled(accepted)?;
    if text.bytes().all(is_token) { Ok(text.to_owned()) } else { Err(value.refuse(accepted)) }
}

/// A byte of a method's or a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn headers(value: &Value) -> Result<Vec<(String, String)>, PlanError> {
    /// They say how a message is cut out of the stream: the generator writes them.
    const OURS: &[&str] = &["content-length", "transfer-encoding", "connection"];
    let mut headers = Vec::new();
    for header in value.open("a table such as { Accept = \"application/json\" }")? {
        let text = header.string("the text of a header, on one line")?;
        if header.key.is_empty() || !header.key.bytes().all(is_token) {
            return Err(header.conflict("this cannot be the name of a header", "write it like Accept"));
        }
        if OURS.contains(&header.key.to_ascii_lowercase().as_str()) {
            return Err(
                header.conflict(format!("the generator sets {} itself", header.key), "leave this header out")
            );
        }
        if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(header.refuse("the text of a header, on one line"));
        }
        headers.push((header.key, text.to_owned()));
    }
    Ok(headers)
}

/// The body, and the file that it came from.
fn body(table: &Table, around: &Around) -> Result<(Vec<u8>, Option<PathBuf>), PlanError> {
    match (table.get("body"), table.get("body_file")) {
        (None, None) => Ok((Vec::new(), None)),
        (Some(body), None) => Ok((body.string("the text of the body")?.as_bytes().to_owned(), None)),
        (Some(_), Some(file)) => {
            Err(file.conflict("this request has body and body_file", "leave one of the two out"))
        }
        (None, Some(file)) => {
            let path = around.folder.join(file.filled("the file with the body, counted from the plan's")?);
            match (around.open_body)(&path) {
                Ok(body) => Ok((body, Some(path))),
                Err(source) => Err(PlanError::ReadFile { line: file.line, path, source }),
            }
        }
    }
}

/// The bytes of a file, if it is one and not too long.
pub(super) fn open_body(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BODY + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BODY {
        return Err(io::Error::other(format!("it is longer than {MOST_BODY} bytes")));
    }
    Ok(bytes)
}
