//! A recording for programs: schema 1.
//!
//! Invariant: fields are only ever added to a schema number. Bytes and counts are integers; `low` and
//! `high` hold the truth in 95 of 100 recordings.

use serde_json::{Value, json};
use slackwater_base::Gap;
use slackwater_capture::Ending;
use slackwater_profile::{Asked, Before, Endpoint, Estimate, ProcessProfile, Profile};

use super::rows::{Grouping, Measure, Row, Unit, rows};
use super::table::Question;
use super::words;

const SCHEMA: u32 = 1;

/// Who allocates or keeps: whole stacks, innermost frame first.
#[must_use]
pub fn by_stack_json(profile: &Profile, gaps: &[Gap], question: &Question) -> Value {
    let Question { measure, grouping, limit } = *question;
    let all = rows(profile, measure, Grouping { unit: Unit::Stack, ..grouping });
    let total = profile.total();
    json!({
        "schema": SCHEMA,
        "sorted_by": measure.key(),
        "allocated": estimate(&total.allocated),
        "live": estimate(&total.live),
        "peak": estimate(&total.peak),
        "summed_until_ns": profile.summed_until_ns,
        "n_stacks": all.len(),
        "stacks": all.iter().take(limit).map(|one| row(profile, one)).collect::<Vec<_>>(),
        "endpoints": endpoints(profile, measure, grouping.by_process),
        "gaps": gaps_json(gaps),
    })
}

/// Each process, and all together.
#[must_use]
pub fn statistics_json(profile: &Profile, gaps: &[Gap]) -> Value {
    let total = profile.total();
    json!({
        "schema": SCHEMA,
        "recorded_at_ns": profile.anchor.map(|anchor| anchor.wall_ns),
        "allocated": estimate(&total.allocated),
        "live": estimate(&total.live),
        "peak": estimate(&total.peak),
        "asked": asked(&profile.asked()),
        "peak_at_ns": profile.peak.at_ns,
        "first_ns": profile.span_ns.0,
        "last_ns": profile.span_ns.1,
        "summed_until_ns": profile.summed_until_ns,
        "n_stacks": profile.stacks.len(),
        "processes": profile.processes.iter().map(process).collect::<Vec<_>>(),
        "endpoints": endpoints(profile, Measure::Allocated, false),
        "marks": profile.marks.iter().map(|mark| json!({ "ns": mark.ns, "name": mark.name })).collect::<Vec<_>>(),
        "gaps": gaps_json(gaps),
    })
}

fn row(profile: &Profile, row: &Row) -> Value {
    let frames = profile.stacks.frames(row.stack).map(|frame| {
        json!({
            "function": frame.function,
            "file": frame.file,
            "line": if frame.line == 0 { None } else { Some(frame.line) },
        })
    });
    json!({
        "frames": frames.collect::<Vec<_>>(),
        "endpoint": profile.endpoints.get(row.stack).map(endpoint),
        "allocated": estimate(&row.usage.allocated),
        "live": estimate(&row.usage.live),
        "peak": estimate(&row.usage.peak),
        "pid": pid(profile, row),
    })
}

fn pid(profile: &Profile, row: &Row) -> Option<u32> {
    row.process.and_then(|place| profile.processes.get(place)).map(|process| process.pid)
}

/// What each request or task asked for; what served none is left out.
fn endpoints(profile: &Profile, measure: Measure, by_process: bool) -> Vec<Value> {
    if profile.endpoints.all().is_empty() {
        return Vec::new();
    }
    let all = rows(profile, measure, Grouping { unit: Unit::Endpoint, by_process });
    let told = all.iter().filter_map(|row| {
        let endpoint = endpoint(profile.endpoints.all().get(row.endpoint?)?);
        Some(json!({
            "endpoint": endpoint,
            "allocated": estimate(&row.usage.allocated),
            "live": estimate(&row.usage.live),
            "peak": estimate(&row.usage.peak),
            "pid": pid(profile, row),
        }))
    });
    told.collect()
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let (function, file) = endpoint.place.as_ref().map(|(function, file)| (function, file)).unzip();
    json!({
        "kind": endpoint.kind.key(),
        "framework": endpoint.framework,
        "function": function,
        "file": file,
    })
}

fn estimate(estimate: &Estimate) -> Value {
    let interval = estimate.interval();
    json!({
        "bytes": estimate.bytes.round() as u64,
        "low_bytes": interval.low.floor() as u64,
        "high_bytes": interval.high.ceil() as u64,
        "count": estimate.count.round() as u64,
        "exact": estimate.is_exact(),
    })
}

fn process(process: &ProcessProfile) -> Value {
    let total = process.total();
    let (how, value) = match process.ending {
        Some(Ending::Exit(status)) => ("exit", Some(status)),
        Some(Ending::Signal(signal)) => ("signal", Some(signal)),
        Some(Ending::Exec) => ("exec", None),
        Some(Ending::Outlived) => ("outlived", None),
        Some(Ending::Gone) => ("gone", None),
        None => ("unknown", None),
    };
    json!({
        "generation": process.generation.0,
        "pid": process.pid,
        "n_processes": process.n_processes,
        "parent_generation": process.parent.map(|parent| parent.0),
        "program": process.program,
        "sample_mean_bytes": if process.sample_mean == 0 { None } else { Some(process.sample_mean) },
        "degraded": process.degraded,
        "no_stacks": process.no_stacks,
        "ended": { "how": how, "value": value },
        "first_ns": process.span_ns.0,
        "last_ns": process.span_ns.1,
        "n_events": process.n_events,
        "n_lost": process.n_lost,
        "before": process.before.iter().map(before).collect::<Vec<_>>(),
        "before_generation": process.before_of.map(|holder| holder.0),
        "resident_peak_bytes": process.resident_peak_bytes,
        "live_peak_bytes": process.live_peak_bytes.round() as u64,
        "allocated": estimate(&total.allocated),
        "live": estimate(&total.live),
        "peak": estimate(&total.peak),
        "asked": asked(&process.asked),
    })
}

/// Together it is all that was allocated.
fn asked(asked: &Asked) -> Vec<Value> {
    let told = asked.all().map(
        |(measure, allocated)| json!({ "by": measure.map(words::how), "allocated": estimate(&allocated) }),
    );
    told.collect()
}

fn before(before: &Before) -> Value {
    json!({
        "holder": if before.holder.is_empty() { None } else { Some(&before.holder) },
        "class": before.class,
        "bytes": before.bytes,
        "blocks": before.blocks,
    })
}

fn gaps_json(gaps: &[Gap]) -> Vec<Value> {
    gaps.iter().map(|gap| json!({ "subject": gap.subject, "cause": gap.cause })).collect()
}
