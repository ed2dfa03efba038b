//! Amounts, lines of code and endings, in words.

use slackwater_base::Bytes;
use slackwater_capture::{Ending, Measure};
use slackwater_profile::{Endpoint, Estimate, Frame, ProcessProfile, Profile};

use crate::visible;

/// Where a stack has no frames.
pub(crate) const NO_PYTHON: &str = "(no Python running)";
/// Where no dispatcher is on the stack.
pub(crate) const NO_ENDPOINT: &str = "(no request or task on the stack)";

pub(crate) fn bytes_of(bytes: f64) -> String {
    Bytes(bytes.round().max(0.0) as u64).to_string()
}

/// What the truth lies within.
pub(crate) fn between(estimate: &Estimate) -> String {
    if estimate.is_exact() {
        return "exact".to_owned();
    }
    let interval = estimate.interval();
    format!("{} - {}", bytes_of(interval.low), bytes_of(interval.high))
}

/// Bytes, with half of what they may be off by.
pub(crate) fn amount(estimate: &Estimate) -> String {
    if estimate.is_exact() {
        return bytes_of(estimate.bytes);
    }
    let interval = estimate.interval();
    format!("{} ± {}", bytes_of(estimate.bytes), bytes_of((interval.high - interval.low) / 2.0))
}

/// A function and where it is.
pub(crate) fn line(frame: &Frame) -> String {
    let file = end_of(&frame.file);
    match (file.is_empty(), frame.line) {
        (true, _) => visible(&frame.function).into_owned(),
        (false, 0) => format!("{} {}", visible(&frame.function), visible(file)),
        (false, line) => format!("{} {}:{line}", visible(&frame.function), visible(file)),
    }
}

/// What answers a request or does a task, and who called it.
pub(crate) fn endpoint(endpoint: &Endpoint) -> String {
    let Endpoint { framework, place, .. } = endpoint;
    match place {
        Some((function, file)) => {
            format!("{} {} ({framework})", visible(function), visible(end_of(file)))
        }
        None => format!("({framework}, outside its endpoints)"),
    }
}

/// The last folder and the name.
fn end_of(file: &str) -> &str {
    file.rmatch_indices('/').nth(1).map_or(file, |(slash, _)| &file[slash + 1..])
}

/// How many processes, how long, and how closely they were recorded.
pub(crate) fn extent(profile: &Profile) -> String {
    let seconds = profile.span_ns.1.saturating_sub(profile.span_ns.0) as f64 / 1e9;
    let n = profile.processes.iter().fold(0_u64, |n, process| n.saturating_add(process.n_processes));
    let processes = if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
    let how = match profile.processes.iter().map(|one| one.sample_mean).max() {
        Some(mean) if mean > 0 => format!("sampled every {} on average", Bytes(mean)),
        _ => "every event".to_owned(),
    };
    format!("{processes}, {seconds:.1} s, {how}")
}

/// The pid; of processes that are one, how many.
pub(crate) fn who(process: &ProcessProfile) -> String {
    match process.n_processes {
        1 => process.pid.to_string(),
        n => format!("{n} ended"),
    }
}

/// Up to when only sums are known.
pub(crate) fn summed(profile: &Profile) -> Option<String> {
    let until_ns = profile.summed_until_ns?;
    let seconds = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / 1e9;
    Some(format!(
        "of the first {:.1} s only sums are kept (--max-size): totals are whole, and what came when is known of \
         the last {:.1} s",
        seconds(profile.span_ns.0, until_ns),
        seconds(until_ns, profile.span_ns.1),
    ))
}

/// How memory was asked for, by the word that documents use.
pub(crate) const fn how(measure: Measure) -> &'static str {
    match measure {
        Measure::Malloc => "malloc",
        Measure::Calloc => "calloc",
        Measure::Realloc => "realloc",
        Measure::Aligned => "aligned",
        Measure::Mapping => "mapping",
        Measure::Raw => "python_raw",
        Measure::Mem => "python_mem",
        Measure::Object => "python_object",
    }
}

/// The same in words for people.
pub(crate) const fn asked_by(measure: Option<Measure>) -> &'static str {
    match measure {
        Some(Measure::Malloc) => "malloc",
        Some(Measure::Calloc) => "calloc",
        Some(Measure::Realloc) => "realloc",
        Some(Measure::Aligned) => "posix_memalign and its kin",
        Some(Measure::Mapping) => "mmap",
        Some(Measure::Raw) => "Python, raw memory",
        Some(Measure::Mem) => "Python, memory",
        Some(Measure::Object) => "Python, objects",
        None => "(not told by the sums)",
    }
}

/// How a process ended.
pub(crate) fn ending(process: &ProcessProfile) -> String {
    match process.ending {
        Some(Ending::Exit(status)) => format!("exit {status}"),
        Some(Ending::Signal(signal)) => format!("signal {signal}"),
        Some(Ending::Exec) => "became another program".to_owned(),
        Some(Ending::Outlived) => "still runs".to_owned(),
        Some(Ending::Gone) => "gone".to_owned(),
        None => "not told".to_owned(),
    }
}
