//! A recording for terminals.

use slackwater_base::{Bytes, Gap};
use slackwater_capture::Ending;
use slackwater_profile::{Frame, ProcessProfile, Profile};

use super::doubts::{before, doubts};
use super::rows::{Grouping, Measure, Row, Unit, rows};
use super::words::{
    NO_ENDPOINT, NO_PYTHON, amount, asked_by, between, bytes_of, ending, endpoint, extent, line, who,
};
use crate::columns::table as columns;
use crate::{Style, visible, wrapped};

/// Callers that are shown beside a line.
const CALLERS: usize = 2;
/// Endpoints that are shown beside the processes.
const ENDPOINTS: usize = 10;
/// Frames of a stack that are shown when it is asked for.
const FRAMES: usize = 30;

/// What is asked of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// What rows are sorted by.
    pub measure: Measure,
    /// What is one row.
    pub grouping: Grouping,
    /// Most rows.
    pub limit: usize,
}

/// Who allocates, or who keeps: a row for each line of code, each stack or each endpoint.
#[must_use]
pub fn by_stack(profile: &Profile, gaps: &[Gap], question: &Question, style: Style) -> String {
    let Question { measure, grouping, limit } = *question;
    let all = rows(profile, measure, grouping);
    let of_total = measure.of(&profile.total()).bytes;
    let mut out = heading(profile, style);
    let lines: Vec<_> = all.iter().take(limit).map(|row| cells(profile, row, question, of_total)).collect();
    let of_what = if grouping.unit == Unit::Endpoint { "endpoint" } else { "where" };
    let mut header = vec![measure.title(), "95 % between", "share", "calls", of_what];
    if grouping.by_process {
        header.insert(0, "pid");
    }
    let text = columns(&header, &[header.len() - 1], &lines);
    let mut shown = text.lines();
    out.push_str(&style.strong(shown.next().unwrap_or_default()));
    out.push('\n');
    for (line, row) in shown.zip(&all) {
        out.push_str(line);
        out.push('\n');
        if grouping.unit == Unit::Stack {
            out.push_str(&stack_lines(profile, row, style));
        }
    }
    if all.is_empty() {
        out.push_str(match measure {
            Measure::Allocated => " nothing was allocated\n",
            Measure::Live => " everything was given back\n",
            Measure::Peak => " nothing was live at any time\n",
        });
    }
    if let Some(rest) = all.get(limit..).filter(|rest| !rest.is_empty()) {
        let bytes: f64 = rest.iter().map(|row| row.bytes(measure)).sum();
        let of_what = grouping.unit.plural();
        out.push_str(&format!(" {} more {of_what} with {}\n", rest.len(), bytes_of(bytes)));
    }
    if measure != Measure::Allocated {
        out.push_str(&before_lines(profile));
    }
    out.push_str(&notes(profile, gaps, style));
    out
}

/// Each process of the service, and all together.
#[must_use]
pub fn statistics(profile: &Profile, gaps: &[Gap], style: Style) -> String {
    let mut out = heading(profile, style);
    let mut lines = Vec::new();
    // A signal is worth a line whatever came before it.
    let is_quiet = |one: &&ProcessProfile| one.is_silent() && !matches!(one.ending, Some(Ending::Signal(_)));
    let (silent, heard): (Vec<_>, Vec<_>) = profile.processes.iter().partition(is_quiet);
    for process in heard {
        let total = process.total();
        lines.push(vec![
            who(process),
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
    if !silent.is_empty() {
        let text = match silent.len() {
            1 => "1 process more allocated nothing that was seen".to_owned(),
            n => format!("{n} processes more allocated nothing that was seen"),
        };
        out.push_str(&format!(" {text}\n"));
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
    out.push_str(&by_measure(profile, style));
    out.push_str(&by_endpoint(profile, style));
    for mark in &profile.marks {
        let seconds = (mark.ns as f64 - profile.span_ns.0 as f64) / 1e9;
        out.push_str(&format!(" mark at {seconds:.1} s: {}\n", visible(&mark.name)));
    }
    out.push_str(&before_lines(profile));
    out.push_str(&notes(profile, gaps, style));
    out
}

/// How memory was asked for.
fn by_measure(profile: &Profile, style: Style) -> String {
    let asked = profile.asked();
    let lines: Vec<Vec<String>> = asked
        .all()
        .map(|(how, allocated)| {
            vec![amount(&allocated), format!("{:.0}", allocated.count), asked_by(how).to_owned()]
        })
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    below(&columns(&["allocated", "calls", "asked by"], &[2], &lines), style)
}

/// A table below another.
fn below(text: &str, style: Style) -> String {
    let mut shown = text.lines();
    let mut out = format!("\n{}\n", style.strong(shown.next().unwrap_or_default()));
    shown.for_each(|line| out.push_str(&format!("{line}\n")));
    out
}

/// Who was served for what, where that can be told.
fn by_endpoint(profile: &Profile, style: Style) -> String {
    if profile.endpoints.all().is_empty() {
        return String::new();
    }
    let grouping = Grouping { unit: Unit::Endpoint, by_process: false };
    let all = rows(profile, Measure::Allocated, grouping);
    let lines: Vec<Vec<String>> = all
        .iter()
        .take(ENDPOINTS)
        .map(|row| {
            let usage = &row.usage;
            vec![
                amount(&usage.allocated),
                amount(&usage.live),
                format!("{:.0}", usage.allocated.count),
                place(profile, row, Unit::Endpoint),
            ]
        })
        .collect();
    let mut out = below(&columns(&["allocated", "live at end", "calls", "endpoint"], &[3], &lines), style);
    if all.len() > ENDPOINTS {
        out.push_str(&format!(" {} more endpoints\n", all.len() - ENDPOINTS));
    }
    out
}

fn before_lines(profile: &Profile) -> String {
    before(profile).into_iter().map(|line| format!(" {line}\n")).collect()
}

fn heading(profile: &Profile, style: Style) -> String {
    format!("{}\n", style.strong(&format!("recorded: {}", extent(profile))))
}

fn cells(profile: &Profile, row: &Row, question: &Question, total: f64) -> Vec<String> {
    let estimate = question.measure.of(&row.usage);
    let share = if total > 0.0 { estimate.bytes / total * 100.0 } else { 0.0 };
    let mut cells = vec![
        bytes_of(estimate.bytes),
        between(estimate),
        format!("{share:.1} %"),
        format!("{:.0}", estimate.count),
        place(profile, row, question.grouping.unit),
    ];
    if let Some(process) = row.process.and_then(|place| profile.processes.get(place)) {
        cells.insert(0, who(process));
    }
    cells
}

/// The endpoint, the innermost line, or that and those that called it.
pub(crate) fn place(profile: &Profile, row: &Row, unit: Unit) -> String {
    match unit {
        Unit::Line => innermost_line(profile, row),
        Unit::Stack => profile.stacks.frames(row.stack).next().map_or_else(|| NO_PYTHON.to_owned(), line),
        Unit::Endpoint => {
            let it = row.endpoint.and_then(|id| profile.endpoints.all().get(id));
            it.map_or_else(|| NO_ENDPOINT.to_owned(), endpoint)
        }
    }
}

fn innermost_line(profile: &Profile, row: &Row) -> String {
    let mut frames = profile.stacks.frames_from_python(row.stack);
    let Some(innermost) = frames.next() else { return NO_PYTHON.to_owned() };
    let mut text = line(innermost);
    for caller in frames.filter(|caller| caller.code == innermost.code).take(CALLERS) {
        text.push_str(" < ");
        text.push_str(&visible(&caller.function));
    }
    if row.n_stacks > 1 {
        text.push_str(&format!(" and {} other ways", row.n_stacks - 1));
    }
    text
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

/// What the reader must know to read the numbers rightly.
fn notes(profile: &Profile, gaps: &[Gap], style: Style) -> String {
    let note = |text: String| format!(" {} {}\n", style.warning("note:"), wrapped(&text, 7));
    doubts(profile, gaps).into_iter().map(note).collect()
}
