//! What the page's script adds up.
//!
//! Invariant: every byte of the profile is in it. Where there are too many stacks for a page, the smallest
//! become one that says so.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use slackwater_capture::Ending;
use slackwater_profile::{
    Cell, Code, Frame, N_SLICES, Part, ProcessProfile, Profile, StackId, Timeline, Usage,
};

use super::columns::{Amounts, HandedOut, Survived};
use crate::allocations::{NO_ENDPOINT, NO_PYTHON, endpoint};
use crate::export::{process_name, thread_name};
use crate::visible;

/// Most stacks of threads of processes that a page has.
const PARTS_MAX: usize = 150_000;
/// Most cells of all timelines together.
const CELLS_MAX: usize = 300_000;

/// What the smallest stacks are together.
const SMALLER: &str = "(stacks too small for this page)";

/// All that the script reads.
#[derive(Serialize)]
pub(super) struct Data {
    strings: Vec<String>,
    frames: Frames,
    stacks: Nodes,
    endpoints: Vec<String>,
    processes: Vec<Process>,
    n_slices: usize,
    slice_s: f64,
    live_most: Vec<u64>,
    peak_s: f64,
    marks: Vec<Mark>,
}

/// Each line of code once.
#[derive(Serialize, Default)]
struct Frames {
    function: Vec<u32>,
    file: Vec<u32>,
    line: Vec<u32>,
    kind: Vec<&'static str>,
}

/// Stacks, callers before callees: the place of the caller's, -1 for none, and the line on top.
#[derive(Serialize, Default)]
struct Nodes {
    parent: Vec<i64>,
    frame: Vec<u32>,
    /// The place of what it served.
    endpoint: Vec<usize>,
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

/// What a stack of the page served.
#[derive(Clone, Copy)]
enum Served {
    Endpoint(usize),
    /// One thing and another: it is several stacks.
    Several,
    Nothing,
}

/// The stacks that the page has.
struct Shown<'a> {
    profile: &'a Profile,
    strings: Vec<String>,
    string_ids: HashMap<String, u32>,
    frames: Frames,
    frame_ids: HashMap<&'a Frame, u32>,
    nodes: Nodes,
    node_ids: HashMap<StackId, u32>,
    empty: Option<u32>,
    smaller: Option<u32>,
}

impl Data {
    pub(super) fn of(profile: &Profile) -> Self {
        let mut shown = Shown::new(profile);
        let shift = shift(profile);
        let least = least_shown(profile);
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
                .map(|process| Process::of(process, &mut shown, shift, least, width_ns))
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
            endpoints: profile
                .endpoints
                .all()
                .iter()
                .map(endpoint)
                .chain([SMALLER, NO_ENDPOINT].map(str::to_owned))
                .collect(),
            strings: shown.strings,
            frames: shown.frames,
            stacks: shown.nodes,
        }
    }
}

impl Process {
    fn of(process: &ProcessProfile, shown: &mut Shown<'_>, shift: u32, least: f64, width_ns: u64) -> Self {
        let (parts, place_of) = shown.parts(process, least);
        let nothing = Timeline::default();
        let timeline = process.timeline.as_ref().unwrap_or(&nothing);
        let moved = |cells: &[Cell]| -> Vec<Cell> {
            let part = |cell: &Cell| place_of.get(cell.part as usize).copied().unwrap_or_default();
            cells.iter().map(|cell| Cell { part: part(cell), ..*cell }).collect()
        };
        let by = shift.saturating_sub(timeline.shift);
        let span = span_ns(shown.profile);
        let slice = |ns: u64| (ns.saturating_sub(span.0) / width_ns) as usize;
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
            live_most: held(&timeline.live_most, process.span_ns, span, width_ns, shift),
            resident_most: held(&resident, process.span_ns, span, width_ns, shift),
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

impl<'a> Shown<'a> {
    fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            strings: Vec::new(),
            string_ids: HashMap::new(),
            frames: Frames::default(),
            frame_ids: HashMap::new(),
            nodes: Nodes::default(),
            node_ids: HashMap::new(),
            empty: None,
            smaller: None,
        }
    }

    /// The parts of a process with the numbers of the page's stacks, and where each of the process's own
    /// parts went.
    fn parts(&mut self, process: &ProcessProfile, least: f64) -> (Vec<Part>, Vec<u32>) {
        let mut merged: BTreeMap<(u32, u16), Usage> = BTreeMap::new();
        let keys: Vec<(u32, u16)> = process
            .parts
            .iter()
            .map(|part| {
                let stack = if weight(&part.usage) < least { self.smaller() } else { self.stack(part.stack) };
                merged.entry((stack, part.thread)).or_default().add(&part.usage);
                (stack, part.thread)
            })
            .collect();
        let places: HashMap<(u32, u16), u32> = merged.keys().copied().zip(0..).collect();
        let parts = merged
            .into_iter()
            .map(|((stack, thread), usage)| Part { stack: StackId(stack), thread, usage })
            .collect();
        (parts, keys.iter().map(|key| places[key]).collect())
    }

    fn stack(&mut self, stack: StackId) -> u32 {
        // Callers first, so that they have the lower numbers.
        let mut missing = Vec::new();
        let mut at = stack;
        let mut below = loop {
            if let Some(&known) = self.node_ids.get(&at) {
                break i64::from(known);
            }
            let Some((parent, frame)) = self.profile.stacks.node(at) else { break -1 };
            missing.push((at, frame));
            at = parent;
        };
        for (stack, frame) in missing.into_iter().rev() {
            let profile = self.profile;
            let frame = self.frame(&profile.stacks.distinct_frames()[frame]);
            let id = self.node(
                below,
                frame,
                profile.endpoints.id(stack).map_or(Served::Nothing, Served::Endpoint),
            );
            self.node_ids.insert(stack, id);
            below = i64::from(id);
        }
        u32::try_from(below).unwrap_or_else(|_| self.empty())
    }

    fn empty(&mut self) -> u32 {
        if let Some(id) = self.empty {
            return id;
        }
        let id = self.named(NO_PYTHON, Served::Nothing);
        *self.empty.insert(id)
    }

    fn smaller(&mut self) -> u32 {
        if let Some(id) = self.smaller {
            return id;
        }
        let id = self.named(SMALLER, Served::Several);
        *self.smaller.insert(id)
    }

    fn named(&mut self, name: &str, served: Served) -> u32 {
        let frame = self.new_frame(name, "", 0, "other");
        self.node(-1, frame, served)
    }

    fn node(&mut self, parent: i64, frame: u32, served: Served) -> u32 {
        // After the endpoints come the two that are none.
        let n_endpoints = self.profile.endpoints.all().len();
        self.nodes.endpoint.push(match served {
            Served::Endpoint(id) => id,
            Served::Several => n_endpoints,
            Served::Nothing => n_endpoints + 1,
        });
        self.nodes.parent.push(parent);
        self.nodes.frame.push(frame);
        self.nodes.parent.len() as u32 - 1
    }

    fn frame(&mut self, frame: &'a Frame) -> u32 {
        if let Some(&id) = self.frame_ids.get(frame) {
            return id;
        }
        let id = self.new_frame(&frame.function, &frame.file, frame.line, kind(frame));
        self.frame_ids.insert(frame, id);
        id
    }

    fn new_frame(&mut self, function: &str, file: &str, line: u32, kind: &'static str) -> u32 {
        let (function, file) = (self.string(function), self.string(file));
        self.frames.function.push(function);
        self.frames.file.push(file);
        self.frames.line.push(line);
        self.frames.kind.push(kind);
        self.frames.line.len() as u32 - 1
    }

    fn string(&mut self, text: &str) -> u32 {
        let text = visible(text).into_owned();
        if let Some(&id) = self.string_ids.get(&text) {
            return id;
        }
        let id = self.strings.len() as u32;
        self.strings.push(text.clone());
        self.string_ids.insert(text, id);
        id
    }
}

/// Whose code a line is, for its colour.
fn kind(frame: &Frame) -> &'static str {
    let file = frame.file.as_str();
    let is_library = file.contains("/lib/python") || file.starts_with("<frozen");
    match file {
        _ if frame.code == Code::Native => "native",
        "" => "other",
        _ if file.contains("/site-packages/") || file.contains("/dist-packages/") => "package",
        _ if is_library => "library",
        _ => "app",
    }
}

fn weight(usage: &Usage) -> f64 {
    usage.allocated.bytes.max(usage.peak.bytes)
}

/// The weight of the smallest part that is shown by itself.
fn least_shown(profile: &Profile) -> f64 {
    let mut weights: Vec<f64> =
        profile.processes.iter().flat_map(|process| &process.parts).map(|part| weight(&part.usage)).collect();
    if weights.len() <= PARTS_MAX {
        return 0.0;
    }
    let (_, least, _) = weights.select_nth_unstable_by(PARTS_MAX, |a, b| b.total_cmp(a));
    *least
}

/// How much longer the page's slices are than the profile's.
fn shift(profile: &Profile) -> u32 {
    let timelines = || profile.processes.iter().filter_map(|process| process.timeline.as_ref());
    let n_cells: usize = timelines().map(|one| one.allocated.len() + one.survived.len()).sum();
    let least = timelines().map(|one| one.shift).max().unwrap_or(0);
    let more = n_cells.div_ceil(CELLS_MAX).next_power_of_two().trailing_zeros();
    (least + more).min(N_SLICES.trailing_zeros())
}
