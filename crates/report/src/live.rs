//! A recording under way, as one screen of text.
//!
//! Invariant: no line is wider than the screen, and there are no more than fit; every number of a sampled
//! recording says how far it may be off.

use slackwater_base::Bytes;
use slackwater_profile::{ProcessProfile, Profile};

use crate::allocations::{Grouping, Measure, Unit, amount, bytes_of, place, rows, who};
use crate::columns::{shown_width, table};
use crate::{Style, visible};

/// Processes that are shown.
const PROCESSES: usize = 8;

/// What the person at the terminal has chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// What rows are sorted by.
    pub measure: Measure,
    /// What is one row.
    pub grouping: Grouping,
    /// Whether the picture stands still.
    pub is_paused: bool,
}

impl Default for View {
    fn default() -> Self {
        Self { measure: Measure::Live, grouping: Grouping::default(), is_paused: false }
    }
}

impl View {
    /// A key of the keyboard changes what is shown; others do nothing.
    pub const fn press(&mut self, key: u8) {
        match key {
            b'l' => self.measure = Measure::Live,
            b'p' => self.measure = Measure::Peak,
            b'a' => self.measure = Measure::Allocated,
            b's' => self.grouping.unit = self.other_than(Unit::Stack),
            b'e' => self.grouping.unit = self.other_than(Unit::Endpoint),
            b'w' => self.grouping.by_process ^= true,
            b' ' => self.is_paused ^= true,
            _ => {}
        }
    }

    /// The same key leads there and back.
    const fn other_than(&self, unit: Unit) -> Unit {
        match (self.grouping.unit, unit) {
            (Unit::Stack, Unit::Stack) | (Unit::Endpoint, Unit::Endpoint) => Unit::Line,
            _ => unit,
        }
    }
}

/// Whether more is to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The recorder still writes, or was killed.
    Growing,
    /// It has ended in order.
    Ended,
}

/// The lines of a screen with this many columns and lines.
#[must_use]
pub fn screen(
    name: &str,
    profile: &Profile,
    standing: Standing,
    view: &View,
    (n_columns, n_lines): (usize, usize),
    style: Style,
) -> Vec<String> {
    let mut lines = vec![style.strong(&heading(name, profile, standing, view)), totals(profile)];
    lines.push(String::new());
    lines.extend(processes(profile, style));
    lines.push(String::new());
    let room = n_lines.saturating_sub(lines.len() + 3).max(1);
    lines.extend(stacks(profile, view, room, style));
    lines.truncate(n_lines.saturating_sub(1));
    lines.resize(n_lines.saturating_sub(1), String::new());
    lines.push(style.dim("q quit  l live  p peak  a all  s stacks  e endpoints  w by worker  space pause"));
    lines.iter().map(|line| cut(line, n_columns)).collect()
}

fn heading(name: &str, profile: &Profile, standing: Standing, view: &View) -> String {
    let seconds = profile.span_ns.1.saturating_sub(profile.span_ns.0) / 1_000_000_000;
    let how = match (view.is_paused, standing) {
        (true, _) => "paused",
        (_, Standing::Growing) => "recording",
        (_, Standing::Ended) => "ended",
    };
    format!("{}   {how}   {} min {:02} s", visible(name), seconds / 60, seconds % 60)
}

fn totals(profile: &Profile) -> String {
    let total = profile.total();
    let resident: u64 = profile.processes.iter().map(|process| process.resident_bytes).sum();
    let live: f64 = profile.processes.iter().map(|process| process.live_bytes).sum();
    format!(
        "live {}   RSS {}   peak {}   allocated {}",
        bytes_of(live),
        Bytes(resident),
        amount(&total.peak),
        amount(&total.allocated)
    )
}

fn processes(profile: &Profile, style: Style) -> Vec<String> {
    let mut alive: Vec<&ProcessProfile> =
        profile.processes.iter().filter(|process| process.resident_bytes > 0).collect();
    alive.sort_by(|a, b| b.live_bytes.total_cmp(&a.live_bytes));
    let cells: Vec<Vec<String>> = alive
        .iter()
        .take(PROCESSES)
        .map(|process| {
            vec![
                who(process),
                visible(&process.program).into_owned(),
                bytes_of(process.live_bytes),
                Bytes(process.resident_bytes).to_string(),
                amount(&process.total().allocated),
            ]
        })
        .collect();
    let mut lines =
        strong_first(&table(&["pid", "program", "live", "RSS", "allocated"], &[1], &cells), style);
    let n_ended = profile.processes.len() - alive.len();
    if alive.len() > PROCESSES || n_ended > 0 {
        let more = alive.len().saturating_sub(PROCESSES);
        lines.push(format!(" {more} more, {n_ended} ended"));
    }
    lines
}

fn stacks(profile: &Profile, view: &View, room: usize, style: Style) -> Vec<String> {
    let View { measure, grouping, .. } = *view;
    let of_total = measure.of(&profile.total()).bytes;
    let all = rows(profile, measure, grouping);
    let cells: Vec<Vec<String>> = all
        .iter()
        .take(room)
        .map(|row| {
            let estimate = measure.of(&row.usage);
            let share = if of_total > 0.0 { 100.0 * estimate.bytes / of_total } else { 0.0 };
            let process = row.process.and_then(|place| profile.processes.get(place));
            vec![
                process.map_or_else(String::new, who),
                amount(estimate),
                format!("{share:.1} %"),
                place(profile, row, if grouping.unit == Unit::Stack { Unit::Line } else { grouping.unit }),
            ]
        })
        .collect();
    let pid = if grouping.by_process { "pid" } else { "" };
    strong_first(&table(&[pid, measure.title(), "share", "where"], &[3], &cells), style)
}

fn strong_first(text: &str, style: Style) -> Vec<String> {
    let dress = |(idx, line): (usize, &str)| if idx == 0 { style.strong(line) } else { line.to_owned() };
    text.lines().enumerate().map(dress).collect()
}

/// As much of a line as fits; colour takes no room and is closed again.
fn cut(line: &str, n_columns: usize) -> String {
    if shown_width(line) <= n_columns {
        return line.to_owned();
    }
    let is_dressed = line.contains('\x1b');
    let mut out = String::new();
    let (mut width, mut in_escape) = (0, false);
    for c in line.chars() {
        in_escape |= c == '\x1b';
        if !in_escape {
            width += 1;
            if width >= n_columns {
                break;
            }
        }
        out.push(c);
        in_escape &= c != 'm';
    }
    out.push('…');
    if is_dressed {
        out.push_str("\x1b[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_its_size_and_no_more() {
        for size in [(80, 24), (20, 5), (200, 60), (1, 1)] {
            let profile = Profile::default();
            let lines = screen("it", &profile, Standing::Growing, &View::default(), size, Style::Colored);
            assert_eq!(lines.len(), size.1, "{size:?}");
            assert!(lines.iter().all(|line| shown_width(line) <= size.0), "{size:?}: {lines:?}");
        }
    }

    #[test]
    fn a_cut_line_keeps_its_colour_closed() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a longer line", 6), "a lon…");
        assert_eq!(cut(&Style::Colored.strong("a longer line"), 6), "\x1b[1ma lon…\x1b[0m");
    }
}
