//! The records of one process, added up as they come.

use std::collections::HashMap;

use slackwater_capture::{Allocation, Ending, Generation, Measure, NativeCode, Record, Sum, Summed};

use crate::asked::Asked;
use crate::demangle::demangled;
use crate::estimate::Estimate;
use crate::live::{Block, Live, Origin, Piece};
use crate::part::Tally;
use crate::process::Before;
use crate::room::{Kept, Room};
use crate::service::Service;
use crate::stacks::{Code, DEEPEST, Frame, StackId, Stacks};
use crate::threads::Threads;
use crate::timeline::{Building, Slices};

/// A function without a name is called by its place in its file.
fn native_frame(code: &NativeCode<'_>) -> Frame {
    let module = code.module.rsplit('/').next().unwrap_or_default();
    let function = match (code.function.is_empty(), module.is_empty()) {
        (false, _) => demangled(&code.function),
        (true, false) => format!("{module}+{:#x}", code.offset),
        (true, true) => format!("{:#x}", code.offset),
    };
    let file = if code.file.is_empty() { &code.module } else { &code.file };
    Frame { function, file: file.to_string(), line: code.line, code: Code::Native }
}

/// What is known of one process so far.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) pid: u32,
    pub(crate) parent: Option<Generation>,
    pub(crate) program: String,
    pub(crate) sample_mean: u64,
    pub(crate) no_stacks: Option<String>,
    pub(crate) ending: Option<Ending>,
    pub(crate) degraded: bool,
    pub(crate) n_lost: u64,
    /// Processes that this is of: one, or several of which only sums are kept.
    pub(crate) n_processes: u64,
    pub(crate) n_events: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) resident_peak_bytes: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) live_peak: f64,
    pub(crate) timeline: Option<Building>,
    pub(crate) threads: Threads,
    pub(crate) before: Vec<Before>,
    /// By stack of this process and thread.
    pub(crate) parts: Vec<((u32, u16), Tally)>,
    part_idx: HashMap<(u32, u16), u32>,
    pub(crate) asked: Asked,
    /// Its sums tell how what they are of was asked for.
    sums_tell_how: bool,
    now_ns: u64,
    /// The moment that its sums are of: the blocks that were live then are told again, and were counted.
    summed_ns: Option<u64>,
    n_cells: usize,
    pub(crate) live: f64,
    pub(crate) blocks: Live,
    locations: HashMap<u32, Frame>,
    stacks: HashMap<u32, (u32, u32)>,
}

impl Fold {
    pub(crate) fn new(slices: Option<Slices>) -> Self {
        Self { timeline: slices.map(Building::new), n_processes: 1, ..Self::default() }
    }

    pub(crate) fn take(&mut self, record: &Record<'_>, service: &mut Service) {
        match record {
            Record::Born { pid, parent, sample_mean, program } => {
                self.pid = *pid;
                self.parent = *parent;
                self.sample_mean = *sample_mean;
                self.program = program.to_string();
            }
            Record::NoStacks(why) => self.no_stacks = Some(why.to_string()),
            Record::Ended(ending) => self.ended(*ending, service),
            Record::Location { id, line, function, file }
                if service.room.take(Kept::Text(function.len() + file.len())) =>
            {
                let (function, file) = (function.to_string(), file.to_string());
                let frame = Frame { function, file, line: *line, code: Code::Python };
                self.locations.insert(*id, frame);
            }
            Record::Native(code)
                if service
                    .room
                    .take(Kept::Text(code.function.len() + code.file.len() + code.module.len())) =>
            {
                self.locations.insert(code.id, native_frame(code));
            }
            Record::Stack { id, parent, location } if service.room.take(Kept::Stack) => {
                self.stacks.insert(*id, (*parent, *location));
            }
            Record::Thread { tid, name } if service.room.take(Kept::Text(name.len())) => {
                self.threads.name(*tid, name);
            }
            Record::Before(before)
                if service.room.take(Kept::Text(before.holder.len() + before.class.len())) =>
            {
                self.before.push(Before {
                    holder: before.holder.to_string(),
                    class: before.class.to_string(),
                    bytes: before.bytes,
                    blocks: before.blocks,
                });
            }
            // What there is no room for: counted where it was refused.
            Record::Location { .. }
            | Record::Native(_)
            | Record::Stack { .. }
            | Record::Thread { .. }
            | Record::Before(_) => {}
            Record::Mark(_)
            | Record::Fact { .. }
            | Record::ResidentBy(_)
            | Record::Module(_)
            | Record::Peak { .. } => {}
            Record::Summed(summed) => self.summed(summed, service),
            Record::Asked(asked) => {
                self.sums_tell_how = true;
                if service.window.counts(self.now_ns) {
                    self.asked.came(asked.measure, &Estimate::from(&asked.allocated));
                }
            }
            Record::Sum(sum) => self.sum(sum, service),
            Record::At(ns) => self.at(*ns, service),
            Record::Allocation(_) | Record::Free { .. } | Record::Unmapped { .. } => {
                self.event(record, service)
            }
            Record::Resident(bytes) => {
                if service.window.counts(self.now_ns) {
                    self.resident_bytes = *bytes;
                    self.resident_peak_bytes = self.resident_peak_bytes.max(*bytes);
                    if let Some(timeline) = &mut self.timeline {
                        timeline.resident(self.now_ns, *bytes);
                    }
                }
            }
            Record::Lost(n_events) => self.n_lost = self.n_lost.saturating_add(*n_events),
            Record::Degraded(mean) => {
                self.degraded = true;
                self.sample_mean = *mean;
            }
        }
    }

    fn at(&mut self, ns: u64, service: &Service) {
        self.now_ns = ns;
        if service.window.counts(ns) {
            if self.first_ns == 0 {
                self.first_ns = ns;
            }
            self.last_ns = self.last_ns.max(ns);
        }
    }

    fn event(&mut self, record: &Record<'_>, service: &mut Service) {
        if service.window.is_over(self.now_ns) {
            return;
        }
        service.before(self.now_ns);
        let counts = service.window.counts(self.now_ns);
        let is_new = self.summed_ns != Some(self.now_ns);
        self.n_events = self.n_events.saturating_add(u64::from(counts && is_new));
        match record {
            Record::Allocation(allocation) => self.allocation(allocation, service),
            Record::Free { addr, .. } => {
                if let Some(block) = self.blocks.remove(*addr) {
                    service.room.give_back(Kept::Block);
                    self.went(block.origin, &self.amount(&block), service);
                }
            }
            Record::Unmapped { addr, size } => {
                let mut pieces = Vec::new();
                self.blocks.unmap(*addr, *size, |piece| pieces.push(piece));
                self.unmapped(&pieces, service);
            }
            _ => {}
        }
        self.take_cells(&mut service.room);
    }

    fn allocation(&mut self, allocation: &Allocation, service: &mut Service) {
        let Allocation { addr, size, stack, tid, .. } = *allocation;
        let origin = Origin {
            part: self.part(stack, tid, &mut service.room),
            born: self.timeline.as_ref().map_or(0, |timeline| timeline.slice(self.now_ns)),
            counts: service.window.counts(self.now_ns),
            sampled: allocation.sampled,
        };
        let block = Block { size, origin };
        let amount = self.amount(&block);
        if origin.counts {
            self.asked(Some(allocation.measure), &amount);
        }
        if !service.room.take(Kept::Block) {
            self.parts[origin.part as usize].1.passed(&amount, origin.counts);
            return;
        }
        if allocation.measure == Measure::Mapping {
            let mut pieces = Vec::new();
            self.blocks.map(addr, size, origin, |piece| pieces.push(piece));
            self.unmapped(&pieces, service);
        } else if let Some(former) = self.blocks.insert(addr, block) {
            // Its free was lost.
            service.room.give_back(Kept::Block);
            self.went(former.origin, &self.amount(&former), service);
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.allocated(origin.part, origin.born, &amount);
        }
        let tally = &mut self.parts[origin.part as usize].1;
        tally.keep(service.epoch);
        tally.came(&amount, origin.counts);
        self.live_changed(amount.bytes, service);
    }

    /// Takes room for new cells of the timeline; where there is none, it is told in longer slices.
    fn take_cells(&mut self, room: &mut Room) {
        let Some(timeline) = &mut self.timeline else { return };
        let n_cells = timeline.n_cells();
        if n_cells > self.n_cells && !room.take(Kept::Cells(n_cells - self.n_cells)) {
            timeline.coarsen();
        }
        self.n_cells = self.n_cells.max(n_cells);
    }

    /// What a block counts for.
    fn amount(&self, block: &Block) -> Estimate {
        if block.origin.sampled {
            Estimate::sampled(block.size, self.sample_mean)
        } else {
            Estimate::certain(block.size, self.sample_mean)
        }
    }

    /// What it did before only sums are known of.
    fn summed(&mut self, summed: &Summed, service: &Service) {
        self.summed_ns = Some(self.now_ns);
        self.n_processes = summed.n_processes.max(1);
        self.n_lost = self.n_lost.saturating_add(summed.n_lost);
        if service.window.counts(self.now_ns) {
            self.n_events = self.n_events.saturating_add(summed.n_events);
            (self.first_ns, self.last_ns) = (summed.first_ns, summed.last_ns);
            self.live_peak = self.live_peak.max(summed.live_peak_bytes);
            self.resident_peak_bytes = self.resident_peak_bytes.max(summed.resident_peak_bytes);
        }
    }

    fn sum(&mut self, sum: &Sum, service: &mut Service) {
        if !service.window.counts(self.now_ns) {
            return;
        }
        let part = self.part(sum.stack, sum.tid, &mut service.room);
        let [allocated, live, peak] = [&sum.allocated, &sum.live, &sum.peak].map(Estimate::from);
        self.asked(None, &allocated);
        self.parts[part as usize].1.summed(&allocated, &live, &peak, service.epoch);
        if let Some(timeline) = &mut self.timeline {
            let born = timeline.slice(self.now_ns);
            timeline.allocated(part, born, &allocated);
            timeline.kept(part, born, &live);
        }
    }

    /// Blocks that sums leave out are said to be of `malloc`, or mappings: how they were asked for is with the
    /// sums, or not known.
    fn asked(&mut self, how: Option<Measure>, amount: &Estimate) {
        let is_of_sums = self.summed_ns == Some(self.now_ns);
        match is_of_sums {
            true if self.sums_tell_how => {}
            true => self.asked.came(None, amount),
            false => self.asked.came(how, amount),
        }
    }

    /// The part of this stack and thread; where there is no room for another, that of no stack.
    fn part(&mut self, stack: u32, tid: u32, room: &mut Room) -> u32 {
        let mut key = (stack, self.threads.idx(tid));
        if !self.part_idx.contains_key(&key) && !room.take(Kept::Part) {
            key.0 = 0;
        }
        let parts = &mut self.parts;
        *self.part_idx.entry(key).or_insert_with(|| {
            parts.push((key, Tally::default()));
            parts.len() as u32 - 1
        })
    }

    fn went(&mut self, origin: Origin, amount: &Estimate, service: &mut Service) {
        if let Some(timeline) = &mut self.timeline {
            let slice = timeline.slice(self.now_ns);
            timeline.gone(origin.part, origin.born, slice, amount);
        }
        let tally = &mut self.parts[origin.part as usize].1;
        tally.keep(service.epoch);
        tally.went(amount, origin.counts);
        self.live_changed(-amount.bytes, service);
    }

    /// A part of a range is not a whole one: bytes go, the count stays until all have gone.
    fn unmapped(&mut self, pieces: &[Piece], service: &mut Service) {
        for &Piece { origin, bytes, n_left } in pieces {
            if n_left == 0 {
                service.room.give_back(Kept::Block);
            } else if n_left == 2 {
                service.room.take(Kept::Block);
                let tally = &mut self.parts[origin.part as usize].1;
                tally.keep(service.epoch);
                tally.split(origin.counts);
            }
            self.went(origin, &Estimate::piece(bytes, n_left == 0), service);
        }
    }

    fn live_changed(&mut self, bytes: f64, service: &mut Service) {
        let before = self.live;
        self.live = (before + bytes).max(0.0);
        service.changed(self.now_ns, bytes);
        if service.window.counts(self.now_ns) {
            // What was live when the window opened was so in it.
            self.live_peak = self.live_peak.max(before).max(self.live);
            if let Some(timeline) = &mut self.timeline {
                timeline.live(self.now_ns, self.live);
            }
        }
    }

    fn ended(&mut self, ending: Ending, service: &mut Service) {
        if service.window.is_over(self.now_ns) {
            self.ending = Some(Ending::Outlived);
            return;
        }
        self.ending = Some(ending);
        if ending != Ending::Outlived {
            service.before(self.now_ns);
            self.parts.iter_mut().for_each(|(_, tally)| tally.ended(service.epoch));
            service.changed(self.now_ns, -self.live);
            (self.live, self.resident_bytes) = (0.0, 0);
            // What it left behind stays known by stack.
            self.leave();
            (0..self.blocks.len()).for_each(|_| service.room.give_back(Kept::Block));
            self.blocks = Live::default();
        }
    }

    /// All that is not given back yet: where, and how much that counts for.
    pub(crate) fn left(&self) -> impl Iterator<Item = (Measure, u64, Block, Estimate)> {
        let blocks =
            self.blocks.blocks().map(|(addr, block)| (Measure::Malloc, addr, block, self.amount(&block)));
        let whole = |(addr, block): (u64, Block)| (Measure::Mapping, addr, block, self.amount(&block));
        blocks.chain(self.blocks.ranges().map(whole))
    }

    /// What is left of each part goes to the timeline.
    pub(crate) fn leave(&mut self) {
        let Some(mut timeline) = self.timeline.take() else { return };
        for (_, _, block, amount) in self.left() {
            timeline.kept(block.origin.part, block.origin.born, &amount);
        }
        self.timeline = Some(timeline);
    }

    /// The stack of this process as one of all processes. One that is said to call itself ends there.
    pub(crate) fn merge(&self, id: u32, into: &mut Stacks, known: &mut HashMap<u32, StackId>) -> StackId {
        let mut chain = Vec::new();
        let mut at = id;
        let mut bottom = StackId::default();
        while at != 0 && chain.len() < DEEPEST {
            if let Some(&merged) = known.get(&at) {
                bottom = merged;
                break;
            }
            known.insert(at, StackId::default());
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
                code: Code::Python,
            });
            bottom = into.on_top_of(bottom, &frame);
            known.insert(id, bottom);
        }
        bottom
    }
}
