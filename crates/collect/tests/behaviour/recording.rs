//! Recording a program, and reading what was recorded.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slackwater_base::Gap;
use slackwater_capture::transport::{Mode, PythonAllocators};
use slackwater_capture::{Allocation, Capture, Ending, Generation, Record};
use slackwater_collect::{CollectError, Collector, Options, Stacks, Summary};
use slackwater_testkit::{Program, agent_library};

pub(crate) const EXACT: Options = Options {
    mode: Mode::Exact,
    stacks: Stacks::Python,
    sample_mean: 512 << 10,
    seed: 0,
    python_allocators: PythonAllocators::Foreign,
};
/// Samples dense enough for small programs.
pub(crate) const SAMPLED: Options = Options { mode: Mode::Sampled, sample_mean: 16 << 10, ..EXACT };

/// A program of `tests/programs`.
macro_rules! program {
    ($name:literal) => {
        slackwater_testkit::Program::c($name, include_str!(concat!("../programs/", $name, ".c"))).unwrap()
    };
}
pub(crate) use program;

/// What a capture has of one process.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) pid: u32,
    pub(crate) parent: Option<Generation>,
    pub(crate) program: String,
    pub(crate) no_stacks: Option<String>,
    pub(crate) ending: Option<Ending>,
    pub(crate) n_allocations: u64,
    pub(crate) n_frees: u64,
    pub(crate) n_lost: u64,
    pub(crate) degraded: bool,
    /// Sizes of blocks that were not freed, by address.
    pub(crate) live: BTreeMap<u64, u64>,
    /// Allocations at an address that was not free.
    pub(crate) n_doubled: u64,
    pub(crate) threads: Vec<u32>,
    /// What threads are called, by their number.
    pub(crate) names: BTreeMap<u32, String>,
}

/// Reads a capture; what is missing from it comes along.
pub(crate) fn read(bytes: &[u8]) -> (BTreeMap<Generation, Told>, Vec<Gap>) {
    let mut opened = Capture::from_reader(Path::new("test"), Cursor::new(bytes)).unwrap();
    let mut told = BTreeMap::<Generation, Told>::new();
    let gaps = opened.value.play(|generation, record| {
        if generation == Generation::RECORDING {
            return;
        }
        let one = told.entry(generation).or_default();
        match record {
            Record::Born { pid, parent, program, .. } => {
                one.pid = *pid;
                one.parent = *parent;
                one.program = program.to_string();
            }
            Record::NoStacks(why) => one.no_stacks = Some(why.to_string()),
            Record::Ended(ending) => one.ending = Some(*ending),
            Record::Allocation(Allocation { addr, size, tid, .. }) => {
                one.n_allocations += 1;
                one.n_doubled += u64::from(one.live.insert(*addr, *size).is_some());
                if !one.threads.contains(tid) {
                    one.threads.push(*tid);
                }
            }
            Record::Free { addr, .. } => {
                one.n_frees += 1;
                one.live.remove(addr);
            }
            Record::Unmapped { addr, .. } => {
                one.live.remove(addr);
            }
            Record::Thread { tid, name } => _ = one.names.insert(*tid, name.to_string()),
            Record::Lost(n_events) => one.n_lost = one.n_lost.saturating_add(*n_events),
            Record::Degraded(_) => one.degraded = true,
            _ => {}
        }
    });
    opened.gaps.extend(gaps.unwrap());
    (told, opened.gaps)
}

/// The program, to be recorded by this collector.
pub(crate) fn under<W: Write>(collector: &Collector<W>, program: &Program) -> Program {
    program.clone().env("LD_PRELOAD", agent_library().unwrap()).env("SLACKWATER_RECORD", collector.path())
}

/// Turns until `done` says so.
pub(crate) fn turn_until<W: Write>(collector: &mut Collector<W>, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let finished = done();
        let turn = collector.turn().unwrap();
        if finished {
            return;
        }
        assert!(Instant::now() < end, "it never came to an end");
        if turn.n_slots == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs `work` while a collector turns. Targets die with the thread that started them, so that is this one.
pub(crate) fn while_turning<W: Write + Send, T>(collector: &mut Collector<W>, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let turning = scope.spawn(|| turn_until(collector, || done.load(Ordering::Acquire)));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Release);
        turning.join().unwrap();
        worked.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

/// Records a command from start to end.
pub(crate) fn record(options: &Options, command: &mut Command) -> (BTreeMap<Generation, Told>, Summary) {
    record_by(&agent_library().unwrap(), options, command)
}

/// Records a command from start to end by an agent of one's own.
pub(crate) fn record_by(
    agent: &Path,
    options: &Options,
    command: &mut Command,
) -> (BTreeMap<Generation, Told>, Summary) {
    let mut collector = Collector::begin(options, Vec::new()).unwrap();
    let mut child =
        command.env("LD_PRELOAD", agent).env("SLACKWATER_RECORD", collector.path()).spawn().unwrap();
    collector.awaits(child.id());
    let mut status = None;
    turn_until(&mut collector, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let status = status.unwrap();
    assert!(status.success(), "{status}");
    collector.tell(Ending::Exit(0));
    let (summary, bytes) = collector.end().unwrap();
    let (told, gaps) = read(&bytes);
    assert_eq!(gaps, []);
    (told, summary)
}

/// A file that takes so many bytes and then is full.
pub(crate) struct Limited {
    pub(crate) bytes: Vec<u8>,
    pub(crate) limit: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.limit.saturating_sub(self.bytes.len()).min(bytes.len());
        if room == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether an error is that the capture could not be written.
pub(crate) fn is_write(error: &CollectError) -> bool {
    matches!(error, CollectError::Write(_))
}
