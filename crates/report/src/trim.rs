//! What `trim` did, process by process: before, predicted, released, after.

use std::time::Duration;

use serde_json::{Value, json};
use slackwater_base::{Bytes, Pid};

use crate::columns::table as columns;
use crate::{Style, visible, wrapped};

/// What came of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The call was made and returned.
    Trimmed,
    /// The call was made; it had not returned when waiting for it ended, and will by itself.
    StillRunning,
    /// There was too little to give back.
    Below,
    /// It was only to be said.
    DryRun,
    /// It was not entered.
    Untouched,
}

impl Outcome {
    /// The word in JSON and in the table.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::StillRunning => "still-running",
            Self::Below => "below",
            Self::DryRun => "dry-run",
            Self::Untouched => "untouched",
        }
    }
}

/// How a process was asked to give memory back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By a call in one of its threads.
    Call,
    /// By the command word of our own allocator: nothing was entered.
    Command,
}

impl Way {
    /// The word in JSON.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Command => "command",
        }
    }
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its pid.
    pub pid: Pid,
    /// What it does in its service.
    pub role: &'static str,
    /// What serves malloc in it.
    pub allocator: &'static str,
    /// RSS before.
    pub rss_before_bytes: u64,
    /// What should come back; `None` where the allocator's books cannot be read.
    pub predicted_bytes: Option<u64>,
    /// What RSS fell by.
    pub released_bytes: Option<u64>,
    /// RSS after.
    pub rss_after_bytes: Option<u64>,
    /// How it was asked.
    pub way: Option<Way>,
    /// How long one thread was stopped.
    pub stopped: Option<Duration>,
    /// How long the call took, seen from outside.
    pub ran: Option<Duration>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was not entered, or the ends of its arenas were left.
    pub reason: Option<String>,
}

/// One process as a JSON document, schema 1.
#[must_use]
pub fn json(row: &Row) -> Value {
    json!({
        "schema": 1,
        "pid": row.pid.0,
        "role": row.role,
        "allocator": row.allocator,
        "rss_before_bytes": row.rss_before_bytes,
        "predicted_bytes": row.predicted_bytes,
        "released_bytes": row.released_bytes,
        "rss_after_bytes": row.rss_after_bytes,
        "way": row.way.map(Way::key),
        "stopped_seconds": row.stopped.map(|time| time.as_secs_f64()),
        "call_seconds": row.ran.map(|time| time.as_secs_f64()),
        "outcome": row.outcome.key(),
        "reason": row.reason,
    })
}

/// All processes of a service.
#[must_use]
pub fn table(service: &str, rows: &[Row], style: Style) -> String {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| Bytes(bytes).to_string());
    let done = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| Bytes(bytes).to_string());
    let time = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), milliseconds);
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.pid.to_string(),
                row.role.to_owned(),
                Bytes(row.rss_before_bytes).to_string(),
                size(row.predicted_bytes),
                done(row.released_bytes),
                done(row.rss_after_bytes),
                time(row.stopped),
                row.outcome.key().to_owned(),
            ]
        })
        .collect();
    let sum = |of: &dyn Fn(&Row) -> Option<u64>| rows.iter().filter_map(of).sum::<u64>();
    let released = sum(&|row| row.released_bytes);
    let before = sum(&|row| Some(row.rss_before_bytes));
    if rows.len() > 1 {
        cells.push(vec![
            "total".to_owned(),
            String::new(),
            Bytes(before).to_string(),
            Bytes(sum(&|row| row.predicted_bytes)).to_string(),
            Bytes(released).to_string(),
            Bytes(sum(&|row| row.rss_after_bytes.or(Some(row.rss_before_bytes)))).to_string(),
            String::new(),
            String::new(),
        ]);
    }
    let mut out = format!("service {}\n", style.strong(&visible(service)));
    let header = ["PID", "ROLE", "BEFORE", "PREDICTED", "RELEASED", "AFTER", "STOPPED", "OUTCOME"];
    out.push_str(&columns(&header, &[1, 7], &cells));
    let sentence = if rows.iter().any(|row| row.outcome == Outcome::DryRun) {
        let predicted = rows.iter().filter(|row| row.outcome == Outcome::DryRun);
        let predicted: u64 = predicted.filter_map(|row| row.predicted_bytes).sum();
        format!("A trim would give back about {}.", Bytes(predicted))
    } else if rows.iter().any(|row| matches!(row.outcome, Outcome::Trimmed | Outcome::StillRunning)) {
        format!("{} given back of {} resident.", Bytes(released), Bytes(before))
    } else {
        "Nothing worth giving back; --above sets the limit.".to_owned()
    };
    out.push_str(&wrapped(&sentence, 0));
    out.push('\n');
    out
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
