//! Turns: drain every ring, look after every process, write what is due.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;

use slackwater_base::Pid;
use slackwater_capture::transport::{Mode, PythonAllocators, Settings};
use slackwater_capture::{Encoder, Ending, Generation, Record, Writer};
use slackwater_procfs::{Process, Root};

use crate::attach::Agent;
use crate::error::CollectError;
use crate::generation::{Recorded, SampleMean};
use crate::memory::SharedMemory;
use crate::native::{Named, Native, Task};
use crate::source::{Awaited, Source};
use crate::sys;

/// Whose calls make a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stacks {
    /// Python's.
    Python,
    /// Those of native code too.
    Native,
}

/// What to record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Samples, or every event.
    pub mode: Mode,
    /// What a stack consists of.
    pub stacks: Stacks,
    /// Mean distance of samples in bytes.
    pub sample_mean: u64,
    /// Makes samples repeatable; 0 for none.
    pub seed: u64,
    /// Which of Python's own allocators are listened to.
    pub python_allocators: PythonAllocators,
}

impl Options {
    /// Processes that can be recorded at one time.
    const N_RINGS: usize = 128;
    /// At the highest rates seen, some ten milliseconds of events.
    const EXACT_SLOTS: usize = 1 << 16;
    /// Samples are few; their definitions are not.
    const SAMPLED_SLOTS: usize = 1 << 13;

    /// For the tables of native stacks: the code of some hundred libraries. What is not used takes no memory.
    const NATIVE_WORDS: usize = 1 << 23;

    const fn settings(&self) -> Settings {
        let n_slots = match self.mode {
            Mode::Exact => Self::EXACT_SLOTS,
            Mode::Sampled => Self::SAMPLED_SLOTS,
        };
        Settings {
            mode: self.mode,
            sample_mean: self.sample_mean,
            seed: self.seed,
            n_rings: Self::N_RINGS,
            n_slots,
            native_words: match self.stacks {
                Stacks::Python => 0,
                Stacks::Native => Self::NATIVE_WORDS,
            },
            python_allocators: self.python_allocators,
        }
    }
}

/// What a turn found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Slots that were drained.
    pub n_slots: u64,
    /// Processes that are recorded now.
    pub n_processes: usize,
}

/// What a recording came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Processes that were recorded.
    pub n_processes: u32,
    /// Allocations and frees.
    pub n_events: u64,
    /// Events that could not be handed over.
    pub n_lost: u64,
    /// Processes that found no room to be recorded.
    pub n_refused: u64,
    /// Processes that produced events faster than they could be written.
    pub n_degraded: u32,
    /// Bytes of the capture.
    pub written_bytes: u64,
    /// Why stacks could not be read somewhere.
    pub no_stacks: Option<String>,
    /// Why Python's own allocators were not listened to somewhere, where they were to be.
    pub no_objects: Option<String>,
}

impl Summary {
    pub(crate) fn count(&mut self, recorded: &Recorded) {
        self.n_events += recorded.n_events;
        self.n_lost = self.n_lost.saturating_add(recorded.n_lost);
        self.n_degraded += u32::from(recorded.degraded);
        if self.no_stacks.is_none() {
            self.no_stacks.clone_from(&recorded.no_stacks);
        }
        if self.no_objects.is_none() {
            self.no_objects.clone_from(&recorded.no_objects);
        }
    }
}

/// A recording under way.
pub struct Collector<W> {
    options: Options,
    sources: Vec<Source>,
    native: Option<Native>,
    pub(crate) writer: Writer<W>,
    summary: Summary,
    /// The process whose ending will be told, and that ending.
    awaited: Awaited,
    /// Whether there will be more captures than one.
    rotates: bool,
    /// Bytes of captures that are closed.
    closed_bytes: u64,
    /// What was found in processes before they were met, by pid.
    found: HashMap<Pid, Vec<Record<'static>>>,
}

impl<W: Write> Collector<W> {
    /// Begins a capture, of no process yet.
    ///
    /// # Errors
    /// When `out` cannot be written, or no thread be started.
    pub fn new(options: &Options, out: W) -> Result<Self, CollectError> {
        let writer = Writer::begin(out, sys::wall_ns(), sys::monotonic_ns()).map_err(CollectError::Write)?;
        let native = match options.stacks {
            Stacks::Python => None,
            Stacks::Native => Some(Native::start().map_err(CollectError::Native)?),
        };
        let summary = Summary::default();
        let sources = Vec::new();
        let (awaited, rotates, closed_bytes, found) = (None, false, 0, HashMap::new());
        let mut collector = Self {
            options: *options,
            sources,
            native,
            writer,
            summary,
            awaited,
            rotates,
            closed_bytes,
            found,
        };
        collector.introduce()?;
        Ok(collector)
    }

    /// Makes [`Collector::rotate`] possible, for processes that begin to be recorded from now on.
    #[must_use]
    pub fn rotating(mut self) -> Self {
        self.rotates = true;
        self
    }

    /// Says on which machine this was.
    fn introduce(&mut self) -> Result<(), CollectError> {
        let now_ns = sys::monotonic_ns();
        let mut encoder = Encoder::default();
        encoder.put(&Record::At(now_ns));
        if let Some(kernel) = Root::host().sysctl("kernel/osrelease") {
            encoder.put(&Record::Fact { key: "kernel".into(), value: kernel.into() });
        }
        let release = env!("CARGO_PKG_VERSION").into();
        encoder.put(&Record::Fact { key: "slackwater".into(), value: release });
        self.writer.records(Generation::RECORDING, now_ns, now_ns, &mut encoder).map_err(CollectError::Write)
    }

    /// Ends the capture, and goes on in another one, which can be read without the first: what it needs of
    /// it is repeated. Only after [`Collector::rotating`].
    ///
    /// # Errors
    /// When either cannot be written.
    pub fn rotate(&mut self, out: W) -> Result<(), CollectError> {
        let now_ns = sys::monotonic_ns();
        let next = Writer::begin(out, sys::wall_ns(), now_ns).map_err(CollectError::Write)?;
        let mut former = std::mem::replace(&mut self.writer, next);
        self.introduce()?;
        for recorded in self.sources.iter_mut().flat_map(Source::recorded) {
            recorded.move_on(&mut former, &mut self.writer, now_ns)?;
        }
        self.closed_bytes += former.written_bytes() + slackwater_capture::HEADER_BYTES as u64;
        former.end(now_ns).map(drop).map_err(CollectError::Write)
    }

    /// Makes no capture larger than this: what does not fit ends the recording.
    #[must_use]
    pub fn at_most(mut self, most_bytes: u64) -> Self {
        self.writer.count_from(self.writer.written_bytes(), most_bytes);
        self
    }

    /// Where the capture is written.
    pub const fn out(&self) -> &W {
        self.writer.out()
    }

    /// Begins a capture of a command.
    ///
    /// # Errors
    /// When there is no memory to share, or `out` cannot be written.
    pub fn begin(options: &Options, out: W) -> Result<Self, CollectError> {
        let settings = options.settings();
        let memory = SharedMemory::new(&settings)?;
        memory.session()?.beat(sys::monotonic_ns());
        let mut collector = Self::new(options, out)?;
        collector.sources.push(Source::launched(memory, settings.n_rings));
        Ok(collector)
    }

    /// What processes must have in `SLACKWATER_RECORD`; empty when none are started.
    pub fn path(&self) -> PathBuf {
        self.sources.first().map(|source| source.memory().path()).unwrap_or_default()
    }

    /// What the memory of a process that is attached to must hold.
    pub const fn settings(&self) -> Settings {
        self.options.settings()
    }

    /// Processes are made to load this agent. In them it is a file without a name, which only a recorder with
    /// the right to follow links in /proc/PID/map_files can open there.
    pub fn loads(&self, agent: &Agent) {
        if let (Some(native), Some(file)) = (&self.native, agent.file()) {
            native.ask(Task::Agent(file));
        }
    }

    /// Records a process that was attached to, and the children that it forks from now on.
    pub fn attached(&mut self, process: Process, memory: SharedMemory) {
        self.sources.push(Source::attached(memory, self.settings().n_rings, process));
    }

    /// Notes what was found in a process when its recording began.
    pub fn found(&mut self, pid: Pid, records: Vec<Record<'static>>) {
        self.found.insert(pid, records);
    }

    /// Whether there is nobody to record, nor can come.
    pub fn is_idle(&self) -> bool {
        self.sources.is_empty()
    }

    /// The processes that are recorded.
    pub fn pids(&self) -> impl Iterator<Item = Pid> {
        self.sources.iter().flat_map(Source::pids)
    }

    /// Bytes of the capture so far.
    pub const fn written_bytes(&self) -> u64 {
        self.writer.written_bytes()
    }

    /// How this process ends will be told: only its parent knows.
    pub fn awaits(&mut self, pid: u32) {
        self.awaited = Some((pid, None));
    }

    /// Says how the awaited process ended.
    pub fn tell(&mut self, ending: Ending) {
        if let Some((pid, told)) = &mut self.awaited {
            *told = Some(ending);
            let pid = *pid;
            let recorded = self.sources.iter_mut().flat_map(Source::recorded);
            recorded.filter(|one| one.pid == pid).for_each(Recorded::replaced);
        }
    }

    /// Drains, looks, writes.
    ///
    /// # Errors
    /// When the capture cannot be written. Recording has ended then: every agent becomes dormant.
    pub fn turn(&mut self) -> Result<Turn, CollectError> {
        let turn = self.try_turn();
        if turn.is_err() {
            self.sources.iter().for_each(Source::close);
        }
        turn
    }

    fn try_turn(&mut self) -> Result<Turn, CollectError> {
        let now_ns = sys::monotonic_ns();
        self.meet(now_ns)?;
        self.tell_found(now_ns);
        let mut total = Turn { n_slots: 0, n_processes: 0 };
        for source in &mut self.sources {
            let native = self.native.as_ref();
            let turn = source.turn(self.awaited, native, &mut self.writer, &mut self.summary, now_ns)?;
            total.n_slots = total.n_slots.saturating_add(turn.n_slots);
            total.n_processes += turn.n_processes;
        }
        self.sources.retain(|source| !source.is_over());
        let names = self.native.as_ref().map(Native::found).unwrap_or_default();
        self.write_names(names, now_ns)?;
        Ok(total)
    }

    fn tell_found(&mut self, now_ns: u64) {
        if self.found.is_empty() {
            return;
        }
        for recorded in self.sources.iter_mut().flat_map(Source::recorded) {
            let pid = i32::try_from(recorded.pid).map(Pid);
            let found = pid.ok().and_then(|pid| self.found.remove(&pid)).unwrap_or_default();
            recorded.tell(now_ns, &found);
        }
    }

    /// Rings have owners that were not seen before.
    fn meet(&mut self, now_ns: u64) -> Result<(), CollectError> {
        let sample_mean = SampleMean { mode: self.options.mode, bytes: self.options.sample_mean };
        for idx in 0..self.sources.len() {
            if !self.sources[idx].has_newcomers(now_ns)? {
                continue;
            }
            while let Some(newcomer) = self.sources[idx].newcomer()? {
                self.summary.n_processes += 1;
                // The same process with an older ring: it has become another program.
                let recorded = self.sources.iter_mut().flat_map(Source::recorded);
                for former in recorded.filter(|former| former.pid == newcomer.pid) {
                    former.ending = Some(Ending::Exec);
                    former.replaced();
                }
                let generation = Generation(self.summary.n_processes);
                if let Some(native) = &self.native {
                    self.sources[idx].introduce(&newcomer, generation, native);
                }
                self.sources[idx].take_up(newcomer, generation, sample_mean);
                if self.rotates {
                    self.sources[idx].recorded().for_each(Recorded::keep_definitions);
                }
            }
        }
        Ok(())
    }

    /// Puts down what native code is called; of processes that are gone too.
    fn write_names(&mut self, names: Vec<Named>, now_ns: u64) -> Result<(), CollectError> {
        let mut late = BTreeMap::<Generation, Encoder>::new();
        for named in names {
            let generation = named.generation;
            let mut recorded = self.sources.iter_mut().flat_map(Source::recorded);
            match recorded.find(|one| one.generation == generation) {
                Some(recorded) => recorded.named(now_ns, &named),
                None => late.entry(generation).or_default().put(&named.record()),
            }
        }
        for (generation, mut encoder) in late {
            let written = self.writer.records(generation, now_ns, now_ns, &mut encoder);
            written.map_err(CollectError::Write)?;
        }
        Ok(())
    }

    /// Ends the recording: agents become dormant, and the capture is closed.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn end(mut self) -> Result<(Summary, W), CollectError> {
        self.sources.iter().for_each(Source::close);
        let now_ns = sys::monotonic_ns();
        for source in &mut self.sources {
            let native = self.native.as_ref();
            source.end(self.awaited, native, &mut self.writer, &mut self.summary, now_ns)?;
        }
        self.sources.clear();
        let names = self.native.take().map(Native::finish).unwrap_or_default();
        self.write_names(names, now_ns)?;
        let header_bytes = slackwater_capture::HEADER_BYTES as u64;
        self.summary.written_bytes = self.closed_bytes + self.writer.written_bytes() + header_bytes;
        let out = self.writer.end(now_ns).map_err(CollectError::Write)?;
        Ok((self.summary, out))
    }
}
