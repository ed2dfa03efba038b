//! Turns: drain every ring, look after every process, write what is due.

use std::io::Write;
use std::path::PathBuf;

use slackwater_capture::transport::{Mode, Ring, Settings};
use slackwater_capture::{Ending, Generation, Writer};

use crate::error::CollectError;
use crate::generation::{LOOK_NS, LOOK_SOON_NS, Life, Recorded, SampleMean};
use crate::memory::SharedMemory;
use crate::sys;

/// What to record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Samples, or every event.
    pub mode: Mode,
    /// Mean distance of samples in bytes.
    pub sample_mean: u64,
    /// Makes samples repeatable; 0 for none.
    pub seed: u64,
}

impl Options {
    /// Processes that can be recorded at one time.
    const N_RINGS: usize = 128;
    /// At the highest rates seen, some ten milliseconds of events.
    const EXACT_SLOTS: usize = 1 << 16;
    /// Samples are few; their definitions are not.
    const SAMPLED_SLOTS: usize = 1 << 13;

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
}

/// A recording under way.
pub struct Collector<W> {
    memory: SharedMemory,
    writer: Writer<W>,
    sample_mean: SampleMean,
    /// Who has the ring of this number.
    recorded: Vec<Option<Recorded>>,
    summary: Summary,
    /// The process whose ending will be told, and that ending.
    awaited: Option<(u32, Option<Ending>)>,
}

impl<W: Write> Collector<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// When there is no memory to share, or `out` cannot be written.
    pub fn begin(options: &Options, out: W) -> Result<Self, CollectError> {
        let settings = options.settings();
        let memory = SharedMemory::new(&settings)?;
        memory.session()?.beat(sys::monotonic_ns());
        let writer = Writer::begin(out, sys::wall_ns(), sys::monotonic_ns()).map_err(CollectError::Write)?;
        let sample_mean = SampleMean { mode: options.mode, bytes: options.sample_mean };
        let recorded = std::iter::repeat_with(|| None).take(settings.n_rings).collect();
        Ok(Self { memory, writer, sample_mean, recorded, summary: Summary::default(), awaited: None })
    }

    /// What processes must have in `SLACKWATER_RECORD`.
    pub fn path(&self) -> PathBuf {
        self.memory.path()
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
            self.recorded.iter_mut().flatten().filter(|one| one.pid == pid).for_each(Recorded::replaced);
        }
    }

    fn told(awaited: Option<(u32, Option<Ending>)>, pid: u32) -> Option<Ending> {
        awaited.filter(|&(one, _)| one == pid)?.1
    }

    /// Drains, looks, writes.
    ///
    /// # Errors
    /// When the capture cannot be written. Recording has ended then: every agent becomes dormant.
    pub fn turn(&mut self) -> Result<Turn, CollectError> {
        let turn = self.try_turn();
        if turn.is_err()
            && let Ok(session) = self.memory.session()
        {
            session.end();
        }
        turn
    }

    fn try_turn(&mut self) -> Result<Turn, CollectError> {
        let session = self.memory.session()?;
        let now_ns = sys::monotonic_ns();
        session.beat(now_ns);
        let mut turn = Turn { n_slots: 0, n_processes: 0 };
        let n_used = self.recorded.iter().flatten().count();
        let interval_ns = if n_used * 4 > self.recorded.len() { LOOK_SOON_NS } else { LOOK_NS };
        for number in 0..self.recorded.len() {
            let Some(ring) = session.ring(number) else { continue };
            let Some(pid) = ring.owner() else { continue };
            let recorded = match self.recorded[number].take() {
                Some(recorded) => recorded,
                None => Self::meet(&mut self.recorded, &mut self.summary, self.sample_mean, ring, pid),
            };
            let recorded = self.recorded[number].insert(recorded);
            recorded.is_awaited =
                self.awaited.is_some_and(|(awaited, told)| awaited == pid && told.is_none());
            turn.n_processes += 1;
            turn.n_slots += recorded.drain(ring, now_ns);
            // One that is awaited is kept until its ending is told.
            let is_gone = recorded.look(now_ns, interval_ns) == Life::Gone && !recorded.is_awaited;
            if is_gone {
                let told = Self::told(self.awaited, recorded.pid);
                finish(recorded, ring, told.unwrap_or(Ending::Gone), now_ns, &mut self.writer)?;
                count(&mut self.summary, recorded);
                ring.release();
                self.recorded[number] = None;
            } else {
                recorded.write(&mut self.writer, now_ns)?;
            }
        }
        self.summary.n_refused += session.take_refused();
        Ok(turn)
    }

    /// A ring has an owner that was not seen before.
    fn meet(
        others: &mut [Option<Recorded>],
        summary: &mut Summary,
        sample_mean: SampleMean,
        ring: Ring<'_>,
        pid: u32,
    ) -> Recorded {
        summary.n_processes += 1;
        // The same process with an older ring: it has become another program.
        for former in others.iter_mut().flatten().filter(|former| former.pid == pid) {
            former.ending = Some(Ending::Exec);
            former.replaced();
        }
        let parent = ring.parent();
        let parent = others.iter().flatten().find(|one| parent != 0 && one.pid == parent);
        Recorded::new(Generation(summary.n_processes), pid, parent.map(|one| one.generation), sample_mean)
    }

    /// Ends the recording: agents become dormant, and the capture is closed.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub fn end(mut self) -> Result<(Summary, W), CollectError> {
        let session = self.memory.session()?;
        session.end();
        let now_ns = sys::monotonic_ns();
        for (number, recorded) in self.recorded.iter_mut().enumerate() {
            let (Some(recorded), Some(ring)) = (recorded, session.ring(number)) else { continue };
            recorded.drain(ring, now_ns);
            let told = Self::told(self.awaited, recorded.pid);
            let untold = match recorded.look_again(now_ns) {
                Life::Running => Ending::Outlived,
                Life::Gone => Ending::Gone,
            };
            finish(recorded, ring, told.unwrap_or(untold), now_ns, &mut self.writer)?;
            count(&mut self.summary, recorded);
        }
        let header_bytes = slackwater_capture::HEADER_BYTES as u64;
        self.summary.written_bytes = self.writer.written_bytes() + header_bytes;
        let out = self.writer.end(now_ns).map_err(CollectError::Write)?;
        Ok((self.summary, out))
    }
}

fn finish<W: Write>(
    recorded: &mut Recorded,
    ring: Ring<'_>,
    ending: Ending,
    now_ns: u64,
    writer: &mut Writer<W>,
) -> Result<(), CollectError> {
    recorded.replaced();
    // Each turn passes over one slot at least, so this ends.
    while recorded.drain(ring, now_ns) > 0 {
        recorded.write(writer, now_ns)?;
    }
    recorded.end(ending, now_ns);
    recorded.flush(writer)
}

fn count(summary: &mut Summary, recorded: &Recorded) {
    summary.n_events += recorded.n_events;
    summary.n_lost += recorded.n_lost;
    summary.n_degraded += u32::from(recorded.degraded);
    if summary.no_stacks.is_none() {
        summary.no_stacks.clone_from(&recorded.no_stacks);
    }
}
