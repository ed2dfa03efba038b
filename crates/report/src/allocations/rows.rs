//! The rows of a table of stacks: sorted, merged by line or not, the small ones together.

use std::collections::{BTreeMap, HashMap};

use slackwater_profile::{Estimate, Frame, Profile, StackId, Usage};

/// What rows are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// All that was handed out.
    Allocated,
    /// What was not given back.
    Live,
    /// What was live when the processes together held most.
    Peak,
}

impl Measure {
    /// What its bytes are, in words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Live => "not given back",
            Self::Peak => "live at peak",
        }
    }

    /// What programs call it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Live => "live",
            Self::Peak => "peak",
        }
    }

    /// What of a usage it is.
    #[must_use]
    pub const fn of(self, usage: &Usage) -> &Estimate {
        match self {
            Self::Allocated => &usage.allocated,
            Self::Live => &usage.live,
            Self::Peak => &usage.peak,
        }
    }
}

/// One stack, or several that the grouping takes as one.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The place of its process, where processes are told apart.
    pub process: Option<usize>,
    /// The stack; of several, the one with most bytes.
    pub stack: StackId,
    /// The number of its endpoint, where endpoints are told apart.
    pub endpoint: Option<usize>,
    /// How many stacks there are in it.
    pub n_stacks: usize,
    /// What they asked for.
    pub usage: Usage,
}

impl Row {
    /// The bytes that it is sorted by.
    #[must_use]
    pub const fn bytes(&self, measure: Measure) -> f64 {
        measure.of(&self.usage).bytes
    }
}

/// What stacks are taken as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unit {
    /// Those with the same innermost line: of Python, where there is one.
    #[default]
    Line,
    /// None.
    Stack,
    /// Those that served the same endpoint.
    Endpoint,
}

impl Unit {
    /// What several are called.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Line => "lines",
            Self::Stack => "stacks",
            Self::Endpoint => "endpoints",
        }
    }
}

/// What is one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grouping {
    /// What stacks are taken as one.
    pub unit: Unit,
    /// Each process by itself.
    pub by_process: bool,
}

/// All rows, the largest first.
#[must_use]
pub fn rows(profile: &Profile, measure: Measure, grouping: Grouping) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places: HashMap<(Option<usize>, Same<'_>), usize> = HashMap::new();
    let mut largest: Vec<f64> = Vec::new();
    for (process, stack, usage) in stacks(profile, grouping) {
        let innermost = || profile.stacks.frames_from_python(stack).next();
        let (same, endpoint) = match grouping.unit {
            Unit::Line => (innermost().map_or(Same::Stack(stack), Same::Line), None),
            Unit::Stack => (Same::Stack(stack), None),
            Unit::Endpoint => {
                let endpoint = profile.endpoints.id(stack);
                (Same::Endpoint(endpoint), endpoint)
            }
        };
        let row = Row { process, stack, endpoint, n_stacks: 1, usage };
        let bytes = row.bytes(measure);
        match places.get(&(process, same)) {
            Some(&place) => {
                let merged = &mut rows[place];
                merged.n_stacks += 1;
                merged.usage.add(&usage);
                if bytes > largest[place] {
                    largest[place] = bytes;
                    merged.stack = stack;
                }
            }
            None => {
                places.insert((process, same), rows.len());
                largest.push(bytes);
                rows.push(row);
            }
        }
    }
    rows.retain(|row| row.bytes(measure) >= 1.0);
    rows.sort_by(|a, b| b.bytes(measure).total_cmp(&a.bytes(measure)));
    rows
}

/// What makes two stacks one row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Same<'a> {
    Line(&'a Frame),
    Stack(StackId),
    Endpoint(Option<usize>),
}

/// Each stack once, or once for each process.
fn stacks(profile: &Profile, grouping: Grouping) -> Vec<(Option<usize>, StackId, Usage)> {
    if !grouping.by_process {
        return profile.by_stack().into_iter().map(|(stack, usage)| (None, stack, usage)).collect();
    }
    let mut all: BTreeMap<(usize, StackId), Usage> = BTreeMap::new();
    for (place, process) in profile.processes.iter().enumerate() {
        for part in &process.parts {
            all.entry((place, part.stack)).or_default().add(&part.usage);
        }
    }
    all.into_iter().map(|((place, stack), usage)| (Some(place), stack, usage)).collect()
}
