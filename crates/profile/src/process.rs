//! One process of a capture, added up.

use std::collections::HashMap;

use slackwater_base::Gap;
use slackwater_capture::{Ending, Generation};

use crate::fold::Fold;
use crate::part::{Part, Usage};
use crate::stacks::Stacks;
use crate::threads::Thread;
use crate::timeline::{Building, Timeline};

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
    /// Its threads, as parts number them.
    pub threads: Vec<Thread>,
    /// By stack and thread.
    pub parts: Vec<Part>,
    /// The same over time, when that was asked for.
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

    /// Whether anything was seen of it but its birth and its end.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.n_events == 0 && self.n_lost == 0
    }
}

/// The process that a fold has become; its stacks are merged into those of all.
pub(crate) fn settle(
    generation: Generation,
    mut fold: Fold,
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
        threads: fold.threads.done(),
        parts,
        timeline: fold.timeline.map(Building::done),
    }
}
