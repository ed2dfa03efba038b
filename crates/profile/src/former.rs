//! Processes of one program that ended long ago, as one: a server that replaces its workers has thousands.
//!
//! Invariant: their totals by stack are the sum of what they were; threads are told apart no longer.

use std::collections::{BTreeMap, HashMap};
use std::io;

use slackwater_capture::{Amount, Ending, Generation, NativeCode, Record, Sum, Summed};

use crate::asked::Asked;
use crate::fold::Fold;
use crate::part::Usage;
use crate::stacks::{Code, StackId, Stacks};

/// Processes that have become one.
pub(crate) struct Former {
    generation: Generation,
    stacks: Stacks,
    usage: BTreeMap<StackId, Usage>,
    summed: Summed,
    asked: Asked,
    sample_mean: u64,
    no_stacks: Option<String>,
    degraded: bool,
}

impl Former {
    /// None yet; they take the place of the first.
    pub(crate) fn new(generation: Generation) -> Self {
        Self {
            generation,
            stacks: Stacks::default(),
            usage: BTreeMap::new(),
            summed: Summed { first_ns: u64::MAX, ..Summed::default() },
            asked: Asked::default(),
            sample_mean: 0,
            no_stacks: None,
            degraded: false,
        }
    }

    pub(crate) const fn generation(&self) -> Generation {
        self.generation
    }

    /// One more.
    pub(crate) fn add(&mut self, fold: &Fold, epoch: u64) {
        let mut known = HashMap::new();
        for &((stack, _), tally) in &fold.parts {
            let stack = fold.merge(stack, &mut self.stacks, &mut known);
            self.usage.entry(stack).or_default().add(&tally.usage(epoch));
        }
        self.asked.add(&fold.asked);
        let summed = &mut self.summed;
        summed.n_processes = summed.n_processes.saturating_add(fold.n_processes);
        summed.n_events = summed.n_events.saturating_add(fold.n_events);
        summed.n_lost = summed.n_lost.saturating_add(fold.n_lost);
        summed.first_ns = summed.first_ns.min(fold.first_ns);
        summed.last_ns = summed.last_ns.max(fold.last_ns);
        summed.resident_peak_bytes = summed.resident_peak_bytes.max(fold.resident_peak_bytes);
        summed.live_peak_bytes = summed.live_peak_bytes.max(fold.live_peak);
        self.sample_mean = self.sample_mean.max(fold.sample_mean);
        self.degraded |= fold.degraded;
        if self.no_stacks.is_none() {
            self.no_stacks.clone_from(&fold.no_stacks);
        }
    }

    /// Tells what they came to, with definitions of their own.
    pub(crate) fn write(
        &self,
        program: &str,
        mut put: impl FnMut(&Record<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (parent, sample_mean) = (None, self.sample_mean);
        put(&Record::Born { pid: 0, parent, sample_mean, program: program.into() })?;
        if let Some(why) = &self.no_stacks {
            put(&Record::NoStacks(why.as_str().into()))?;
        }
        if self.degraded {
            put(&Record::Degraded(sample_mean))?;
        }
        self.define(&mut put)?;
        put(&Record::Summed(self.summed))?;
        self.asked.told().try_for_each(|asked| put(&Record::Asked(asked)))?;
        for (stack, usage) in &self.usage {
            let [allocated, live, peak] = [&usage.allocated, &usage.live, &usage.peak].map(Amount::from);
            put(&Record::Sum(Sum { stack: stack.0, tid: 0, allocated, live, peak }))?;
        }
        put(&Record::Ended(Ending::Gone))
    }

    /// Lines of code and stacks, callers first. A line's id is its place and one more.
    fn define(&self, put: &mut impl FnMut(&Record<'_>) -> io::Result<()>) -> io::Result<()> {
        for (id, frame) in (1..).zip(self.stacks.distinct_frames()) {
            let (function, file, line) =
                (frame.function.as_str().into(), frame.file.as_str().into(), frame.line);
            put(&match frame.code {
                Code::Python => Record::Location { id, line, function, file },
                Code::Native => Record::Native(NativeCode {
                    id,
                    function,
                    file,
                    line,
                    module: "".into(),
                    build_id: (&[][..]).into(),
                    offset: 0,
                }),
            })?;
        }
        for stack in (1..=self.stacks.len() as u32).map(StackId) {
            let Some((parent, frame)) = self.stacks.node(stack) else { continue };
            put(&Record::Stack { id: stack.0, parent: parent.0, location: frame as u32 + 1 })?;
        }
        Ok(())
    }
}
