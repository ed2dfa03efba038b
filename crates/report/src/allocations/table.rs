//! A recording for terminals.

use std::collections::BTreeMap;

use slackwater_base::{Bytes, Gap};
use slackwater_capture::Ending;
use slackwater_profile::{Estimate, Frame, ProcessProfile, Profile};

use super::rows::{Measure, Row, rows};
use crate::columns::table as columns;
use crate::{Style, visible, wrapped};

/// Callers that are shown beside a line.
const CALLERS: usize = 2;
/// Frames of a stack that are shown when it is asked for.
const FRAMES: usize = 30;

/// Who allocates, or who keeps: `limit` rows, one for each line of code or each stack.
#[must_use]
pub fn by_stack(
    profile: &Profile,
    gaps: &[Gap],
    measure: Measure,
    whole_stacks: bool,
    limit: usize,
    style: Style,
) -> String {
    let all = rows(profile, measure, whole_stacks);
    let total = profile.total();
    let of_total = match measure {
        Measure::Allocated => total.allocated.bytes,
        Measure::Live => total.live.bytes,
    };
    let title = match measure {
        Measure::Allocated => "allocated",
        Measure::Live => "not given back",
    };
    let mut out = heading(profile, style);
    let mut lines = Vec::new();
    for row in all.iter().take(limit) {
        lines.push(cells(profile, row, measure, of_total, whole_stacks));
    }
    let header = [title, "95 % between", "share", "calls", "where"];
    let text = columns(&header, &[4], &lines);
    let mut shown = text.lines();
    out.push_str(&style.strong(shown.next().unwrap_or_default()));
    out.push('\n');
    for (line, row) in shown.zip(&all) {
        out.push_str(line);
        out.push('\n');
        if whole_stacks {
            out.push_str(&stack_lines(profile, row, style));
        }
    }
    if all.is_empty() {
        out.push_str(match measure {
            Measure::Allocated => " nothing was allocated\n",
            Measure::Live => " everything was given back\n",
        });
    }
    if let Some(rest) = all.get(limit..).filter(|rest| !rest.is_empty()) {
        let bytes: f64 = rest.iter().map(|row| row.bytes(measure)).sum();
        let of_what = if whole_stacks { "stacks" } else { "lines" };
        out.push_str(&format!(" {} more {of_what} with {}\n", rest.len(), bytes_of(bytes)));
    }
    out.push_str(&notes(profile, gaps, style));
    out
}

/// Each process of the service, and all together.
#[must_use]
pub fn statistics(profile: &Profile, gaps: &[Gap], style: Style) -> String {
    let mut out = heading(profile, style);
    let mut lines = Vec::new();
    for process in &profile.processes {
        let total = process.total();
        lines.push(vec![
            process.pid.to_string(),
            visible(&process.program).into_owned(),
            process.n_events.to_string(),
            amount(&total.allocated),
            amount(&total.live),
            bytes_of(process.live_peak_bytes),
            Bytes(process.resident_peak_bytes).to_string(),
            ending(process),
        ]);
    }
    let header = ["pid", "program", "events", "allocated", "live at end", "live peak", "RSS peak", "ended"];
    let text = columns(&header, &[1, 7], &lines);
    let mut shown = text.lines();
    out.push_str(&style.strong(shown.next().unwrap_or_default()));
    out.push('\n');
    for line in shown {
        out.push_str(line);
        out.push('\n');
    }
    let total = profile.total();
    let counts = format!(
        "together: {} allocated by about {:.0} calls, {} live at the end, {} distinct stacks",
        amount(&total.allocated),
        total.allocated.count,
        amount(&total.live),
        profile.stacks.len(),
    );
    out.push_str(&format!(" {}\n", wrapped(&counts, 1)));
    let (first_ns, _) = span_ns(profile);
    for mark in &profile.marks {
        let seconds = (mark.ns as f64 - first_ns as f64) / 1e9;
        out.push_str(&format!(" mark at {seconds:.1} s: {}\n", visible(&mark.name)));
    }
    out.push_str(&notes(profile, gaps, style));
    out
}

/// The first and the last moment of all processes.
fn span_ns(profile: &Profile) -> (u64, u64) {
    let first = profile.processes.iter().map(|one| one.span_ns.0).filter(|&ns| ns > 0).min().unwrap_or(0);
    let last = profile.processes.iter().map(|one| one.span_ns.1).max().unwrap_or(0);
    (first, last)
}

fn heading(profile: &Profile, style: Style) -> String {
    let (first, last) = span_ns(profile);
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    let n = profile.processes.len();
    let processes = if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
    let means: Vec<u64> = profile.processes.iter().map(|one| one.sample_mean).collect();
    let how = match means.iter().max() {
        Some(&mean) if mean > 0 => format!("sampled every {} on average", Bytes(mean)),
        _ => "every event".to_owned(),
    };
    format!("{}\n", style.strong(&format!("recorded: {processes}, {seconds:.1} s, {how}")))
}

fn cells(profile: &Profile, row: &Row, measure: Measure, total: f64, whole_stacks: bool) -> Vec<String> {
    let estimate = match measure {
        Measure::Allocated => &row.usage.allocated,
        Measure::Live => &row.usage.live,
    };
    let share = if total > 0.0 { estimate.bytes / total * 100.0 } else { 0.0 };
    vec![
        bytes_of(estimate.bytes),
        between(estimate),
        format!("{share:.1} %"),
        format!("{:.0}", estimate.count),
        place(profile, row, whole_stacks),
    ]
}

/// The innermost line, and those that called it.
fn place(profile: &Profile, row: &Row, whole_stacks: bool) -> String {
    let mut frames = profile.stacks.frames(row.stack);
    let Some(innermost) = frames.next() else { return "(no Python running)".to_owned() };
    let mut text = line(innermost);
    if whole_stacks {
        return text;
    }
    for caller in frames.by_ref().take(CALLERS) {
        text.push_str(" < ");
        text.push_str(&visible(&caller.function));
    }
    if row.n_stacks > 1 {
        text.push_str(&format!(" and {} other ways", row.n_stacks - 1));
    }
    text
}

fn line(frame: &Frame) -> String {
    let file = frame.file.rsplit('/').take(2).collect::<Vec<_>>();
    let file = file.into_iter().rev().collect::<Vec<_>>().join("/");
    match (file.is_empty(), frame.line) {
        (true, _) => visible(&frame.function).into_owned(),
        (false, 0) => format!("{} {}", visible(&frame.function), visible(&file)),
        (false, line) => format!("{} {}:{line}", visible(&frame.function), visible(&file)),
    }
}

fn stack_lines(profile: &Profile, row: &Row, style: Style) -> String {
    let mut out = String::new();
    let frames: Vec<&Frame> = profile.stacks.frames(row.stack).skip(1).collect();
    for frame in frames.iter().take(FRAMES) {
        out.push_str(&format!("     {}\n", style.dim(&line(frame))));
    }
    if frames.len() > FRAMES {
        out.push_str(&format!("     {}\n", style.dim(&format!("{} more callers", frames.len() - FRAMES))));
    }
    out
}

fn bytes_of(bytes: f64) -> String {
    Bytes(bytes.round().max(0.0) as u64).to_string()
}

fn between(estimate: &Estimate) -> String {
    if estimate.is_exact() {
        return "exact".to_owned();
    }
    let interval = estimate.interval();
    format!("{} - {}", bytes_of(interval.low), bytes_of(interval.high))
}

/// Bytes, with half of what they may be off by.
fn amount(estimate: &Estimate) -> String {
    if estimate.is_exact() {
        return bytes_of(estimate.bytes);
    }
    let interval = estimate.interval();
    format!("{} ± {}", bytes_of(estimate.bytes), bytes_of((interval.high - interval.low) / 2.0))
}

/// How a process ended, for people.
fn ending(process: &ProcessProfile) -> String {
    match process.ending {
        Some(Ending::Exit(status)) => format!("exit {status}"),
        Some(Ending::Signal(signal)) => format!("signal {signal}"),
        Some(Ending::Exec) => "became another program".to_owned(),
        Some(Ending::Outlived) => "still runs".to_owned(),
        Some(Ending::Gone) => "gone".to_owned(),
        None => "not told".to_owned(),
    }
}

/// What the reader must know to read the numbers rightly.
fn notes(profile: &Profile, gaps: &[Gap], style: Style) -> String {
    let mut out = String::new();
    let mut note = |text: &str| {
        out.push_str(&format!(" {} {}\n", style.warning("note:"), wrapped(text, 7)));
    };
    // A service may start many small programs: one line for each reason.
    let mut without: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for process in &profile.processes {
        if let Some(why) = &process.no_stacks {
            without.entry(why).or_default().push(&process.program);
        }
    }
    for (why, mut programs) in without {
        let n = programs.len();
        programs.sort_unstable();
        programs.dedup();
        let names = visible(&programs.join(", ")).into_owned();
        note(&format!("{n} of the processes have no stacks ({names}): {}", visible(why)));
    }
    for gap in gaps {
        note(&format!("missing: {}: {}", visible(&gap.subject), visible(&gap.cause)));
    }
    out
}
