//! The records of one process, added up as they come.

use std::collections::HashMap;

use slackwater_capture::{Allocation, Ending, Generation, Measure, Record};

use crate::estimate::Estimate;
use crate::live::{Block, Live};
use crate::profile::Usage;
use crate::stacks::{Frame, StackId, Stacks};

/// Deepest stack that is followed: agents record fewer frames.
const DEEPEST: usize = 10_000;

/// What is known of one process so far.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) pid: u32,
    pub(crate) parent: Option<Generation>,
    pub(crate) program: String,
    pub(crate) sample_mean: u64,
    pub(crate) no_stacks: Option<String>,
    pub(crate) ending: Option<Ending>,
    pub(crate) degraded: bool,
    pub(crate) n_lost: u64,
    pub(crate) n_events: u64,
    pub(crate) resident_peak_bytes: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) usage: HashMap<u32, Usage>,
    pub(crate) live: f64,
    pub(crate) live_peak: f64,
    blocks: Live,
    locations: HashMap<u32, Frame>,
    stacks: HashMap<u32, (u32, u32)>,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            pid: 0,
            parent: None,
            program: String::new(),
            sample_mean: 0,
            no_stacks: None,
            ending: None,
            degraded: false,
            n_lost: 0,
            n_events: 0,
            resident_peak_bytes: 0,
            first_ns: 0,
            last_ns: 0,
            usage: HashMap::new(),
            live: 0.0,
            live_peak: 0.0,
            blocks: Live::default(),
            locations: HashMap::new(),
            stacks: HashMap::new(),
        }
    }
}

impl Fold {
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Born { pid, parent, sample_mean, program } => {
                self.pid = *pid;
                self.parent = *parent;
                self.sample_mean = *sample_mean;
                self.program = program.to_string();
            }
            Record::NoStacks(why) => self.no_stacks = Some(why.to_string()),
            Record::Ended(ending) => self.ending = Some(*ending),
            Record::Location { id, line, function, file } => {
                let frame = Frame { function: function.to_string(), file: file.to_string(), line: *line };
                self.locations.insert(*id, frame);
            }
            Record::Stack { id, parent, location } => {
                self.stacks.insert(*id, (*parent, *location));
            }
            Record::Thread { .. } => {}
            Record::At(ns) => {
                if self.first_ns == 0 {
                    self.first_ns = *ns;
                }
                self.last_ns = self.last_ns.max(*ns);
            }
            Record::Allocation(allocation) => self.allocation(allocation),
            Record::Free { addr, .. } => {
                self.n_events += 1;
                if let Some(block) = self.blocks.remove(*addr) {
                    self.gone(&block);
                }
            }
            Record::Unmapped { addr, size } => {
                self.n_events += 1;
                let mut parts = Vec::new();
                self.blocks.unmap(*addr, *size, |stack, bytes| parts.push((stack, bytes)));
                self.unmapped(&parts);
            }
            Record::Resident(bytes) => self.resident_peak_bytes = self.resident_peak_bytes.max(*bytes),
            Record::Lost(n_events) => self.n_lost += n_events,
            Record::Degraded(mean) => {
                self.degraded = true;
                self.sample_mean = *mean;
            }
        }
    }

    fn allocation(&mut self, allocation: &Allocation) {
        self.n_events += 1;
        let Allocation { addr, size, stack, .. } = *allocation;
        let estimate = if allocation.sampled {
            Estimate::sampled(size, self.sample_mean)
        } else {
            Estimate::exact(size)
        };
        if allocation.measure == Measure::Mapping {
            let mut parts = Vec::new();
            self.blocks.map(addr, size, stack, |stack, bytes| parts.push((stack, bytes)));
            self.unmapped(&parts);
        } else if let Some(former) = self.blocks.insert(addr, Block { stack, estimate }) {
            // Its free was lost.
            self.gone(&former);
        }
        let usage = self.usage.entry(stack).or_default();
        usage.allocated.add(&estimate);
        usage.live.add(&estimate);
        self.live += estimate.bytes;
        self.live_peak = self.live_peak.max(self.live);
    }

    fn gone(&mut self, block: &Block) {
        self.usage.entry(block.stack).or_default().live.remove(&block.estimate);
        self.live = (self.live - block.estimate.bytes).max(0.0);
    }

    fn unmapped(&mut self, parts: &[(u32, u64)]) {
        for &(stack, bytes) in parts {
            // A part of a range is not a whole one: bytes go, the count stays until all have gone.
            let live = &mut self.usage.entry(stack).or_default().live;
            live.bytes = (live.bytes - bytes as f64).max(0.0);
            self.live = (self.live - bytes as f64).max(0.0);
        }
    }

    /// The stack of this process as one of all processes.
    pub(crate) fn merge(&self, id: u32, into: &mut Stacks, known: &mut HashMap<u32, StackId>) -> StackId {
        let mut chain = Vec::new();
        let mut at = id;
        let mut bottom = StackId::default();
        while at != 0 && chain.len() < DEEPEST {
            if let Some(&merged) = known.get(&at) {
                bottom = merged;
                break;
            }
            let Some(&(parent, location)) = self.stacks.get(&at) else {
                chain.push((at, 0));
                break;
            };
            chain.push((at, location));
            at = parent;
        }
        for (id, location) in chain.into_iter().rev() {
            let frame = self.locations.get(&location).cloned().unwrap_or_else(|| Frame {
                function: "(name lost)".to_owned(),
                file: String::new(),
                line: 0,
            });
            bottom = into.on_top_of(bottom, &frame);
            known.insert(id, bottom);
        }
        bottom
    }
}
