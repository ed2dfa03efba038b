//! One process while it is recorded: what is drained from its ring, until it is written.

use std::borrow::Cow;
use std::io::Write;

use slackwater_base::Tid;
use slackwater_capture::transport::late::PYTHON_ALLOCATORS;
use slackwater_capture::transport::{Drained, Message, Mode, Ring, Slot, Texts};
use slackwater_capture::{Allocation, Ending, Generation, Measure, Record, Writer};
use slackwater_procfs::{Process, State};

use crate::error::CollectError;
use crate::native::{Asked, Named, Native, Task};
use crate::outside::Outside;
use crate::pending::Pending;
use crate::source::Newcomer;
use crate::threads::Threads;

/// A frame is written when it has so many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// And when its first record is so old: what a kill of the collector may cost.
const FRAME_NS: u64 = 500_000_000;
/// Slots that are drained at once: the others shall not wait.
const SLOTS_PER_TURN: u64 = 1 << 16;
/// How often a process is looked at from outside.
pub(crate) const LOOK_NS: u64 = 100_000_000;
/// And how often when rings become scarce, because processes come and go quickly.
pub(crate) const LOOK_SOON_NS: u64 = 1_000_000;
/// A full ring whose next slot does not become whole in this time has lost its writer.
const STUCK_NS: u64 = 1_000_000_000;

/// What is known of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Running,
    Gone,
}

/// Mean distance of samples: from the start, or from when exact recording is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SampleMean {
    pub(crate) mode: Mode,
    pub(crate) bytes: u64,
}

/// A process that is recorded.
pub(crate) struct Recorded {
    pub(crate) generation: Generation,
    /// Its pid as we know it.
    pub(crate) pid: u32,
    /// And as it knows it itself.
    pub(crate) inside: u32,
    pub(crate) ending: Option<Ending>,
    pub(crate) parent: Option<Generation>,
    /// What native code it asked for.
    pub(crate) asked: Asked,
    sample_mean: SampleMean,
    process: Option<Process>,
    pending: Pending,
    first_ns: u64,
    last_ns: u64,
    looked_ns: u64,
    outside: Outside,
    pub(crate) is_awaited: bool,
    stuck_since_ns: Option<u64>,
    threads: Threads,
    life: Life,
    pub(crate) n_events: u64,
    pub(crate) n_lost: u64,
    pub(crate) degraded: bool,
    pub(crate) no_stacks: Option<String>,
    pub(crate) no_objects: Option<String>,
}

impl Recorded {
    pub(crate) fn new(generation: Generation, newcomer: Newcomer, sample_mean: SampleMean) -> Self {
        let Newcomer { inside, pid, parent, process, .. } = newcomer;
        let life = if process.is_some() { Life::Running } else { Life::Gone };
        Self {
            generation,
            pid,
            inside,
            ending: None,
            parent,
            asked: Asked::default(),
            sample_mean,
            process,
            pending: Pending::default(),
            first_ns: 0,
            last_ns: 0,
            looked_ns: 0,
            outside: Outside::default(),
            is_awaited: false,
            stuck_since_ns: None,
            threads: Threads::default(),
            life,
            n_events: 0,
            n_lost: 0,
            degraded: false,
            no_stacks: None,
            no_objects: None,
        }
    }

    /// From its first record on, keeps what records of later captures refer to.
    pub(crate) fn keep_definitions(&mut self) {
        self.pending.keep_definitions();
    }

    /// Ends it in one capture and begins it again in another.
    pub(crate) fn move_on<W: Write>(
        &mut self,
        from: &mut Writer<W>,
        to: &mut Writer<W>,
        now_ns: u64,
    ) -> Result<(), CollectError> {
        self.end(Ending::Outlived, now_ns);
        self.flush(from)?;
        self.pending.repeat(to, self.generation, now_ns).map_err(CollectError::Write)
    }

    /// Drains the ring once; how many slots there were.
    pub(crate) fn drain(&mut self, ring: Ring<'_>, now_ns: u64, native: Option<&Native>) -> u64 {
        let before = ring.drained();
        let mut at_is_due = true;
        let stopped = ring.drain(SLOTS_PER_TURN, Message::n_more, |slot, rest| {
            if at_is_due {
                self.put(now_ns, &Record::At(now_ns));
                at_is_due = false;
            }
            if let Some(message) = Message::decode(slot) {
                self.take(now_ns, message, rest, native);
            }
        });
        let n_lost = ring.take_lost();
        if n_lost > 0 {
            // Whatever the process says.
            self.n_lost = self.n_lost.saturating_add(n_lost);
            self.put(now_ns, &Record::Lost(n_lost));
        }
        if ring.take_degraded() {
            self.degraded = true;
            self.put(now_ns, &Record::Degraded(self.sample_mean.bytes));
        }
        self.name_threads(now_ns);
        self.unstick(ring, stopped, now_ns);
        ring.drained().wrapping_sub(before)
    }

    /// Passes over a slot whose writer is dead, or was thrown out of its hook while the others wait.
    fn unstick(&mut self, ring: Ring<'_>, stopped: Drained, now_ns: u64) {
        let is_stuck = stopped == Drained::Unfinished && (self.life == Life::Gone || ring.is_full());
        if !is_stuck {
            self.stuck_since_ns = None;
            return;
        }
        let since_ns = *self.stuck_since_ns.get_or_insert(now_ns);
        if self.life == Life::Gone || (now_ns.saturating_sub(since_ns) > STUCK_NS && !self.is_stopped()) {
            ring.skip();
            self.stuck_since_ns = None;
            self.n_lost = self.n_lost.saturating_add(1);
            self.put(now_ns, &Record::Lost(1));
        }
    }

    fn is_stopped(&self) -> bool {
        let state = self.process.as_ref().and_then(|process| process.stat().ok()).map(|stat| stat.state);
        matches!(state, Some(State::Stopped | State::Traced))
    }

    #[inline]
    fn take(
        &mut self,
        now_ns: u64,
        message: Message,
        rest: &mut dyn Iterator<Item = Slot>,
        native: Option<&Native>,
    ) {
        match message {
            Message::Allocation { measure, sampled, addr, size, stack, tid } => {
                self.n_events += 1;
                self.threads.meet(tid);
                let measure = Measure::ALL[usize::from(measure).min(Measure::ALL.len() - 1)];
                self.pending.allocation(&Allocation { measure, sampled, addr, size, stack, tid });
            }
            Message::Free { addr, tid } => {
                self.n_events += 1;
                self.pending.free(addr, tid);
            }
            other => self.take_rare(now_ns, other, rest, native),
        }
    }

    #[cold]
    fn take_rare(
        &mut self,
        now_ns: u64,
        message: Message,
        rest: &mut dyn Iterator<Item = Slot>,
        native: Option<&Native>,
    ) {
        match message {
            // Dealt with by `take`.
            Message::Allocation { .. } | Message::Free { .. } => {}
            Message::Unmapped { addr, size } => {
                self.n_events += 1;
                self.pending.put(&Record::Unmapped { addr, size });
            }
            Message::Stack { id, parent, location } => {
                self.pending.put(&Record::Stack { id, parent, location });
            }
            Message::Location { id, line, texts } => {
                let (function, file) = both(texts, rest);
                self.pending.put(&Record::Location {
                    id,
                    line,
                    function: function.into(),
                    file: file.into(),
                });
            }
            Message::Native { id, pc } => {
                if let Some(native) = native {
                    native.ask(Task::Name { generation: self.generation, id, pc });
                }
            }
            Message::Born { texts } => {
                let (program, _) = both(texts, rest);
                let born = Record::Born {
                    pid: self.pid,
                    parent: self.parent,
                    sample_mean: if self.sample_mean.mode == Mode::Exact {
                        0
                    } else {
                        self.sample_mean.bytes
                    },
                    program: program.into(),
                };
                self.put(now_ns, &born);
            }
            Message::Fact { texts } => {
                let (key, value) = both(texts, rest);
                if key == PYTHON_ALLOCATORS {
                    self.no_objects = Some(value.to_owned());
                }
                self.put(now_ns, &Record::Fact { key: key.into(), value: value.into() });
            }
            Message::NoStacks { texts } => {
                let (why, _) = both(texts, rest);
                self.put(now_ns, &Record::NoStacks(Cow::Borrowed(&why)));
                self.no_stacks = Some(why);
            }
        }
    }

    /// Native code has been named.
    pub(crate) fn named(&mut self, now_ns: u64, code: &Named) {
        self.put(now_ns, &code.record());
    }

    fn name_threads(&mut self, now_ns: u64) {
        for tid in self.threads.take_new() {
            let name = i32::try_from(tid)
                .ok()
                .and_then(|tid| Some(self.process.as_ref()?.task_status(Tid(tid)).ok()?.name));
            if let Some(name) = name {
                self.put(now_ns, &Record::Thread { tid, name: name.into() });
            }
        }
    }

    /// Looks at the process from outside, now and then.
    pub(crate) fn look(&mut self, now_ns: u64, interval_ns: u64) -> Life {
        if now_ns.saturating_sub(self.looked_ns) >= interval_ns && self.life == Life::Running {
            self.looked_ns = now_ns;
            let process = self.process.take().filter(Process::is_same);
            match process.as_ref().and_then(|process| Some((process, process.status().ok()?))) {
                Some((process, status)) if status.state != Some(State::Zombie) => {
                    let mut outside = std::mem::take(&mut self.outside);
                    outside.look(process, &status, now_ns, |record| self.put(now_ns, record));
                    self.outside = outside;
                }
                // Its parent, which we are, will tell how it ended.
                Some(_) if self.is_awaited => {}
                _ => self.life = Life::Gone,
            }
            self.process = process;
        }
        self.life
    }

    /// Looks at it once more, however short ago the last look was.
    pub(crate) fn look_again(&mut self, now_ns: u64) -> Life {
        self.looked_ns = 0;
        self.is_awaited = false;
        self.look(now_ns, 0)
    }

    /// It writes to this ring no more.
    pub(crate) fn replaced(&mut self) {
        self.life = Life::Gone;
    }

    /// Notes what others found out about it.
    pub(crate) fn tell(&mut self, now_ns: u64, records: &[Record<'_>]) {
        if !records.is_empty() {
            self.put(now_ns, &Record::At(now_ns));
            records.iter().for_each(|record| self.put(now_ns, record));
        }
    }

    /// Notes how it ended.
    pub(crate) fn end(&mut self, ending: Ending, now_ns: u64) {
        self.put(now_ns, &Record::At(now_ns));
        let ending = self.ending.unwrap_or(ending);
        self.put(now_ns, &Record::Ended(ending));
    }

    fn put(&mut self, now_ns: u64, record: &Record<'_>) {
        if self.pending.n_records() == 0 {
            self.first_ns = now_ns;
        }
        self.last_ns = now_ns;
        self.pending.put(record);
    }

    /// Writes what is due.
    pub(crate) fn write<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        now_ns: u64,
    ) -> Result<(), CollectError> {
        let is_due = self.pending.n_bytes() >= FRAME_BYTES
            || (self.pending.n_records() > 0 && now_ns.saturating_sub(self.first_ns) >= FRAME_NS);
        if is_due { self.flush(writer) } else { Ok(()) }
    }

    /// Writes everything.
    pub(crate) fn flush<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), CollectError> {
        self.pending.flush(writer, self.generation, self.first_ns, self.last_ns).map_err(CollectError::Write)
    }
}

/// The two texts in the slots that follow; what is no UTF-8 is replaced.
fn both(texts: Texts, rest: &mut dyn Iterator<Item = Slot>) -> (String, String) {
    let bytes: Vec<u8> = rest.flatten().flat_map(u64::to_le_bytes).take(texts.bytes()).collect();
    let (first, second) = bytes.split_at(usize::from(texts.first_bytes).min(bytes.len()));
    (String::from_utf8_lossy(first).into_owned(), String::from_utf8_lossy(second).into_owned())
}
