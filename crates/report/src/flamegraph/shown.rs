//! The stacks that the page has, each with its lines of code and what it served.
//!
//! Invariant: callers come before callees. What the page has no room for, the smallest first, goes into one
//! stack that says so.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use slackwater_profile::{Code, Frame, Part, ProcessProfile, Profile, StackId, Usage};

use crate::allocations::{NO_ENDPOINT, NO_PYTHON, endpoint};
use crate::visible;

/// Most stacks of threads of processes that a page has.
const PARTS_MAX: usize = 150_000;
/// Most lines of stacks, each of them beside the same line called from elsewhere.
const NODES_MAX: usize = 2_000_000;
/// What is not shown by itself.
const SMALLER: &str = "(stacks for which this page has no room)";

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

/// What a stack of the page served.
#[derive(Clone, Copy)]
enum Served {
    Endpoint(usize),
    /// One thing and another: it is several stacks.
    Several,
    Nothing,
}

/// What the script looks up by number.
#[derive(Serialize, Default)]
pub(super) struct Tables {
    strings: Vec<String>,
    frames: Frames,
    stacks: Nodes,
    endpoints: Vec<String>,
}

/// The stacks that the page has so far.
pub(super) struct Shown<'a> {
    profile: &'a Profile,
    /// The weight of the smallest part that is shown by itself.
    least: f64,
    tables: Tables,
    string_ids: HashMap<String, u32>,
    frame_ids: HashMap<&'a Frame, u32>,
    node_ids: HashMap<StackId, u32>,
    empty: Option<u32>,
    smaller: Option<u32>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            least: least_shown(profile),
            tables: Tables::default(),
            string_ids: HashMap::new(),
            frame_ids: HashMap::new(),
            node_ids: HashMap::new(),
            empty: None,
            smaller: None,
        }
    }

    /// The parts of a process with the numbers of the page's stacks, and where each of the process's own
    /// parts went.
    pub(super) fn parts(&mut self, process: &ProcessProfile) -> (Vec<Part>, Vec<u32>) {
        let mut merged: BTreeMap<(u32, u16), Usage> = BTreeMap::new();
        let keys: Vec<(u32, u16)> = process
            .parts
            .iter()
            .map(|part| {
                let has_room =
                    weight(&part.usage) >= self.least && self.tables.stacks.frame.len() < NODES_MAX;
                let stack = if has_room { self.stack(part.stack) } else { self.smaller() };
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

    /// All that was shown, and the names of what it served: of endpoints, then of the two that are none.
    pub(super) fn into_tables(self) -> Tables {
        let endpoints = self.profile.endpoints.all().iter().map(endpoint);
        let endpoints = endpoints.chain([SMALLER, NO_ENDPOINT].map(str::to_owned)).collect();
        Tables { endpoints, ..self.tables }
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
        let n_endpoints = self.profile.endpoints.all().len();
        self.tables.stacks.endpoint.push(match served {
            Served::Endpoint(id) => id,
            Served::Several => n_endpoints,
            Served::Nothing => n_endpoints + 1,
        });
        self.tables.stacks.parent.push(parent);
        self.tables.stacks.frame.push(frame);
        self.tables.stacks.parent.len() as u32 - 1
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
        self.tables.frames.function.push(function);
        self.tables.frames.file.push(file);
        self.tables.frames.line.push(line);
        self.tables.frames.kind.push(kind);
        self.tables.frames.line.len() as u32 - 1
    }

    fn string(&mut self, text: &str) -> u32 {
        let text = visible(text).into_owned();
        if let Some(&id) = self.string_ids.get(&text) {
            return id;
        }
        let id = self.tables.strings.len() as u32;
        self.tables.strings.push(text.clone());
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
