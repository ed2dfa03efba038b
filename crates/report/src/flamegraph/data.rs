//! What the page's script adds up.
//!
//! Invariant: every byte of the profile is in it. Where there are too many stacks for a page, the smallest
//! become one that says so.

use serde::Serialize;
use slackwater_capture::Ending;
use slackwater_profile::{Cell, N_SLICES, ProcessProfile, Profile, Timeline};

use super::columns::{Amounts, HandedOut, Survived};
use super::shown::{Shown, Tables};
use crate::export::{process_name, thread_name};
use crate::visible;

/// Most cells of all timelines together.
const CELLS_MAX: usize = 300_000;

/// All that the script reads.
#[derive(Serialize)]
pub(super) struct Data {
    #[serde(flatten)]
    tables: Tables,
    processes: Vec<Process>,
    n_slices: usize,
    slice_s: f64,
    live_most: Vec<u64>,
    peak_s: f64,
    marks: Vec<Mark>,
}

/// One process.
#[derive(Serialize)]
struct Process {
    label: String,
    ended_slice: Option<usize>,
    /// Mean distance of samples; 0 where every event was recorded.
    sample_mean: u64,
    threads: Vec<String>,
    stack: Vec<u32>,
    thread: Vec<u16>,
    peak: Amounts,
    live: Amounts,
    allocated: Amounts,
    handed_out: HandedOut,
    survived: Survived,
    live_most: Vec<u64>,
    resident_most: Vec<u64>,
}

/// A moment with a name.
#[derive(Serialize)]
struct Mark {
    name: String,
    at_s: f64,
}

impl Data {
    pub(super) fn of(profile: &Profile) -> Self {
        let mut shown = Shown::new(profile);
        let shift = shift(profile);
        let over_time = profile.over_time.as_ref();
        let span_ns = span_ns(profile);
        let from_start = |ns: u64| ns.saturating_sub(span_ns.0) as f64 / 1e9;
        let width_ns = over_time.map_or(1, |over_time| over_time.slices.width_ns) << shift;
        let most = over_time.map(|over_time| over_time.live_most.as_slice()).unwrap_or_default();
        Self {
            processes: profile
                .processes
                .iter()
                .filter(|process| !process.is_silent())
                .map(|process| Process::of(process, &mut shown, span_ns, shift, width_ns))
                .collect(),
            n_slices: N_SLICES >> shift,
            slice_s: width_ns as f64 / 1e9,
            live_most: held(most, span_ns, span_ns, width_ns, shift),
            peak_s: from_start(profile.peak.at_ns),
            marks: profile
                .marks
                .iter()
                .map(|mark| Mark { name: visible(&mark.name).into_owned(), at_s: from_start(mark.ns) })
                .collect(),
            tables: shown.into_tables(),
        }
    }
}

impl Process {
    fn of(
        process: &ProcessProfile,
        shown: &mut Shown<'_>,
        span_ns: (u64, u64),
        shift: u32,
        width_ns: u64,
    ) -> Self {
        let (parts, place_of) = shown.parts(process);
        let nothing = Timeline::default();
        let timeline = process.timeline.as_ref().unwrap_or(&nothing);
        let moved = |cells: &[Cell]| -> Vec<Cell> {
            let part = |cell: &Cell| place_of.get(cell.part as usize).copied().unwrap_or_default();
            cells.iter().map(|cell| Cell { part: part(cell), ..*cell }).collect()
        };
        let by = shift.saturating_sub(timeline.shift);
        let slice = |ns: u64| (ns.saturating_sub(span_ns.0) / width_ns) as usize;
        let is_gone = process.ending.is_some_and(|ending| ending != Ending::Outlived);
        let resident: Vec<f64> = timeline.resident_most.iter().map(|&bytes| bytes as f64).collect();
        Self {
            label: process_name(process),
            ended_slice: is_gone.then(|| slice(process.span_ns.1)),
            sample_mean: process.sample_mean,
            threads: process.threads.iter().map(thread_name).collect(),
            stack: parts.iter().map(|part| part.stack.0).collect(),
            thread: parts.iter().map(|part| part.thread).collect(),
            peak: Amounts::of(parts.iter().map(|part| &part.usage.peak)),
            live: Amounts::of(parts.iter().map(|part| &part.usage.live)),
            allocated: Amounts::of(parts.iter().map(|part| &part.usage.allocated)),
            handed_out: HandedOut::of(&moved(&timeline.allocated), by),
            survived: Survived::of(&moved(&timeline.survived), by),
            live_most: held(&timeline.live_most, process.span_ns, span_ns, width_ns, shift),
            resident_most: held(&resident, process.span_ns, span_ns, width_ns, shift),
        }
    }
}

/// First and last moment of the slices: what only sums are known of is all in the first.
fn span_ns(profile: &Profile) -> (u64, u64) {
    let first_ns =
        profile.over_time.as_ref().map_or(profile.span_ns.0, |over_time| over_time.slices.first_ns);
    (first_ns, profile.span_ns.1)
}

/// Values of the longer slices: the most of each, 0 outside of the life of whom they are of. Where nothing
/// was said, the last value stays.
fn held(values: &[f64], life_ns: (u64, u64), span_ns: (u64, u64), width_ns: u64, shift: u32) -> Vec<u64> {
    let slice = |ns: u64| (ns.saturating_sub(span_ns.0) / width_ns) as usize;
    let (first, last) = (slice(life_ns.0), slice(life_ns.1));
    let mut now = 0.0;
    values
        .chunks(1 << shift)
        .enumerate()
        .map(|(idx, chunk)| {
            let most = chunk.iter().copied().fold(0.0, f64::max);
            now = if most > 0.0 { most } else { now };
            if (first..=last).contains(&idx) { now.round() as u64 } else { 0 }
        })
        .collect()
}

/// How much longer the page's slices are than the profile's.
fn shift(profile: &Profile) -> u32 {
    let timelines = || profile.processes.iter().filter_map(|process| process.timeline.as_ref());
    let n_cells: usize = timelines().map(|one| one.allocated.len() + one.survived.len()).sum();
    let least = timelines().map(|one| one.shift).max().unwrap_or(0);
    let more = n_cells.div_ceil(CELLS_MAX).next_power_of_two().trailing_zeros();
    (least + more).min(N_SLICES.trailing_zeros())
}
