//! One process of a capture, added up.

use std::collections::HashMap;

use slackwater_base::Gap;
use slackwater_capture::{Ending, Generation};

use crate::asked::Asked;
use crate::fold::Fold;
use crate::part::{Part, Usage};
use crate::stacks::Stacks;
use crate::threads::Thread;
use crate::timeline::{Building, Timeline};

/// Memory that a process held when its recording began: none of its stacks is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    /// Which allocator held it; empty for none.
    pub holder: String,
    /// A class of the ledger.
    pub class: String,
    /// Resident bytes.
    pub bytes: u64,
    /// Blocks, where the holder counts them; else 0.
    pub blocks: u64,
}

/// One process.
#[derive(Clone, Debug)]
pub struct ProcessProfile {
    /// Its place in the capture.
    pub generation: Generation,
    /// Its id while it lived.
    pub pid: u32,
    /// Processes that this is: those that ended before only sums are known of are one for each program.
    pub n_processes: u64,
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
    /// RSS when it was last seen; 0 after its end.
    pub resident_bytes: u64,
    /// Most RSS that was seen.
    pub resident_peak_bytes: u64,
    /// Live bytes now, as estimated; 0 after its end.
    pub live_bytes: f64,
    /// Most live bytes at a time, as estimated.
    pub live_peak_bytes: f64,
    /// First and last moment, CLOCK_MONOTONIC.
    pub span_ns: (u64, u64),
    /// What it held before.
    pub before: Vec<Before>,
    /// The process whose `before` it began with, as far as that still held it: it was forked from there, or from
    /// one that was, while the recording went on.
    pub before_of: Option<Generation>,
    /// Its threads, as parts number them.
    pub threads: Vec<Thread>,
    /// By stack and thread.
    pub parts: Vec<Part>,
    /// How it asked for memory.
    pub asked: Asked,
    /// By stack and thread over time, when that was asked for.
    pub timeline: Option<Timeline>,
}

impl ProcessProfile {
    /// All stacks together.
    #[must_use]
    pub fn total(&self) -> Usage {
        let mut total = Usage::default();
        self.parts.iter().for_each(|part| total.add(&part.usage));
        total
    }

    /// Live bytes from before the recording.
    #[must_use]
    pub fn live_before_bytes(&self) -> u64 {
        self.before.iter().filter(|one| one.class.starts_with("live")).map(|one| one.bytes).sum()
    }

    /// Whether anything was seen of it but its birth and its end.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.n_events == 0 && self.n_lost == 0
    }
}

/// Finds whose `before` each process began with. One that is attached to is a child of nobody in the capture, and
/// only what it forks, without becoming another program, is recorded as its child.
pub(crate) fn inherit(processes: &mut [ProcessProfile]) {
    let mut holders: HashMap<Generation, Generation> = HashMap::new();
    // Parents come before their children.
    for process in processes {
        if process.before.is_empty() {
            process.before_of = process.parent.and_then(|parent| holders.get(&parent).copied());
        }
        let own = (!process.before.is_empty()).then_some(process.generation);
        if let Some(holder) = own.or(process.before_of) {
            holders.insert(process.generation, holder);
        }
    }
}

/// The process that a fold has become so far; its stacks are merged into those of all.
pub(crate) fn settle(
    generation: Generation,
    fold: &mut Fold,
    epoch: u64,
    stacks: &mut Stacks,
    gaps: &mut Vec<Gap>,
) -> ProcessProfile {
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
    fold.leave();
    let mut known = HashMap::new();
    let parts = fold
        .parts
        .iter()
        .map(|&((stack, thread), tally)| Part {
            stack: fold.merge(stack, stacks, &mut known),
            thread,
            usage: tally.usage(epoch),
        })
        .collect();
    ProcessProfile {
        generation,
        pid: fold.pid,
        n_processes: fold.n_processes,
        parent: fold.parent,
        program: fold.program.clone(),
        sample_mean: fold.sample_mean,
        no_stacks: fold.no_stacks.clone(),
        ending: fold.ending,
        degraded: fold.degraded,
        n_lost: fold.n_lost,
        n_events: fold.n_events,
        resident_bytes: fold.resident_bytes,
        resident_peak_bytes: fold.resident_peak_bytes,
        live_bytes: fold.live,
        live_peak_bytes: fold.live_peak,
        span_ns: (fold.first_ns, fold.last_ns),
        before: fold.before.clone(),
        before_of: None,
        threads: fold.threads.all(),
        parts,
        asked: fold.asked,
        timeline: fold.timeline.take().map(Building::done),
    }
}
