//! All processes of a capture, and all of them together.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};

use slackwater_base::{Gap, Partial};
use slackwater_capture::{Anchor, Capture, Ending, Generation, ReadError};

use crate::estimate::Estimate;
use crate::fold::Fold;
use crate::stacks::{StackId, Stacks};

/// What one stack asked for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// All that was ever handed out.
    pub allocated: Estimate,
    /// What was not given back when the process, or the recording, ended.
    pub live: Estimate,
}

/// One process.
#[derive(Clone, Debug)]
pub struct ProcessProfile {
    /// Its place in the capture.
    pub generation: Generation,
    /// Its id while it lived.
    pub pid: u32,
    /// What it was forked from.
    pub parent: Option<Generation>,
    /// The program's name.
    pub program: String,
    /// Mean distance of samples in bytes; 0 when every event was recorded.
    pub sample_mean: u64,
    /// Why its stacks are not known.
    pub no_stacks: Option<String>,
    /// How it ended; `None` when the capture does not say.
    pub ending: Option<Ending>,
    /// Exact at first, sampled later.
    pub degraded: bool,
    /// Events that did not get through.
    pub n_lost: u64,
    /// Events that did.
    pub n_events: u64,
    /// Most RSS that was seen.
    pub resident_peak_bytes: u64,
    /// Most live bytes at a time, as estimated.
    pub live_peak_bytes: f64,
    /// First and last moment, CLOCK_MONOTONIC.
    pub span_ns: (u64, u64),
    /// By stack.
    pub usage: BTreeMap<StackId, Usage>,
}

impl ProcessProfile {
    /// All stacks together.
    pub fn total(&self) -> Usage {
        sum(self.usage.values())
    }
}

/// A capture, added up.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Stacks of all processes.
    pub stacks: Stacks,
    /// The processes, in the order of their births.
    pub processes: Vec<ProcessProfile>,
    /// The two clocks.
    pub anchor: Option<Anchor>,
}

impl Profile {
    /// Reads a capture to its end.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn of<R: Read + Seek>(mut capture: Partial<Capture<R>>) -> Result<Partial<Self>, ReadError> {
        let mut folds: BTreeMap<Generation, Fold> = BTreeMap::new();
        let gaps = capture.value.play(|generation, record| {
            folds.entry(generation).or_default().take(record);
        })?;
        capture.gaps.extend(gaps);
        let mut profile = Self { anchor: capture.value.anchor(), ..Self::default() };
        for (generation, fold) in folds {
            let process = settle(generation, fold, &mut profile.stacks, &mut capture.gaps);
            profile.processes.push(process);
        }
        Ok(Partial { value: profile, gaps: capture.gaps })
    }

    /// All processes together, by stack.
    pub fn by_stack(&self) -> BTreeMap<StackId, Usage> {
        let mut all = BTreeMap::<StackId, Usage>::new();
        for (stack, usage) in self.processes.iter().flat_map(|process| &process.usage) {
            let total = all.entry(*stack).or_default();
            total.allocated.add(&usage.allocated);
            total.live.add(&usage.live);
        }
        all
    }

    /// All processes and stacks together.
    pub fn total(&self) -> Usage {
        sum(self.processes.iter().flat_map(|process| process.usage.values()))
    }
}

fn sum<'a>(usage: impl Iterator<Item = &'a Usage>) -> Usage {
    let mut total = Usage::default();
    for one in usage {
        total.allocated.add(&one.allocated);
        total.live.add(&one.live);
    }
    total
}

fn settle(generation: Generation, fold: Fold, stacks: &mut Stacks, gaps: &mut Vec<Gap>) -> ProcessProfile {
    let who = format!("process {} ({})", fold.pid, fold.program);
    if fold.n_lost > 0 {
        gaps.push(Gap::new(
            format!("{} events of {who}", fold.n_lost),
            "they came faster than they could be written",
        ));
    }
    if fold.degraded {
        gaps.push(Gap::new(
            format!("some frees of {who}"),
            "exact recording could not keep up and went on with samples: blocks from before may look live",
        ));
    }
    let mut known = HashMap::new();
    let mut usage = BTreeMap::<StackId, Usage>::new();
    for (&stack, one) in &fold.usage {
        let merged = usage.entry(fold.merge(stack, stacks, &mut known)).or_default();
        merged.allocated.add(&one.allocated);
        merged.live.add(&one.live);
    }
    ProcessProfile {
        generation,
        pid: fold.pid,
        parent: fold.parent,
        program: fold.program,
        sample_mean: fold.sample_mean,
        no_stacks: fold.no_stacks,
        ending: fold.ending,
        degraded: fold.degraded,
        n_lost: fold.n_lost,
        n_events: fold.n_events,
        resident_peak_bytes: fold.resident_peak_bytes,
        live_peak_bytes: fold.live_peak,
        span_ns: (fold.first_ns, fold.last_ns),
        usage,
    }
}
