//! The memory of a service over time, seen from outside, and what seeing it costs.
//!
//! Invariant: only files of /proc and of the control group are read, through handles that stay open, and
//! all times are of the monotonic clock.

mod tree;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use slackwater_base::Pid;
use slackwater_procfs::{CgroupVersion, MemoryGroup, Root};

pub(crate) use tree::Cost;
use tree::Tree;

use crate::result::Point;

/// How often new processes are looked for.
const LOOK_FOR_NEW_EVERY: Duration = Duration::from_millis(500);
/// A pause between two samples of which the result speaks, times the one that was meant.
const NOTABLE_PAUSE: u32 = 10;
/// And the shortest of which it speaks.
const LEAST_NOTABLE_PAUSE: Duration = Duration::from_secs(1);

/// Takes samples in a thread of its own until it is finished.
#[derive(Debug)]
pub(crate) struct Sampler {
    record: Arc<Mutex<Record>>,
    /// Dropped to say stop.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Duration>>,
}

/// What was sampled.
#[derive(Default, Debug)]
pub(crate) struct Series {
    pub(crate) points: Vec<Point>,
    /// Processor time that sampling used.
    pub(crate) cpu: Duration,
    pub(crate) gaps: Vec<String>,
}

#[derive(Debug)]
struct Record {
    zero: Instant,
    tree: Tree,
    group: Option<File>,
    points: Vec<Point>,
    gaps: Vec<String>,
}

impl Sampler {
    /// Begins to sample the processes below `keeper`.
    pub(crate) fn start(keeper: Pid, group: Option<&MemoryGroup>, zero: Instant, every: Duration) -> Self {
        let group = group.and_then(|group| {
            let name = match group.version {
                CgroupVersion::V1 => "memory.usage_in_bytes",
                CgroupVersion::V2 => "memory.current",
            };
            File::open(group.directory.join(name)).ok()
        });
        let tree = Tree::below(Root::host(), keeper);
        let record = Record { zero, tree, group, points: Vec::new(), gaps: Vec::new() };
        let record = Arc::new(Mutex::new(record));
        let (stop, stopped) = mpsc::channel::<()>();
        let shared = Arc::clone(&record);
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            let mut looked = due;
            let mut last = due;
            lock(&shared).look_for_new();
            loop {
                let now = Instant::now();
                if now - looked >= LOOK_FOR_NEW_EVERY {
                    lock(&shared).look_for_new();
                    looked = now;
                }
                lock(&shared).sample(now - last, every);
                last = now;
                due += every;
                let after = Instant::now();
                if due < after {
                    due = after;
                }
                match stopped.recv_timeout(due - after) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return cpu_of_this_thread(),
                }
            }
        });
        Self { record, stop: Some(stop), thread: Some(thread) }
    }

    /// What the service has used so far.
    pub(crate) fn cost(&self) -> Cost {
        let mut record = lock(&self.record);
        record.look_for_new();
        record.tree.read();
        record.tree.cost()
    }

    /// The processes of the service, in the order of their start, that have not ended.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let mut record = lock(&self.record);
        record.look_for_new();
        record.tree.living().collect()
    }

    /// Processes that have ended so far.
    pub(crate) fn n_ended(&self) -> usize {
        lock(&self.record).tree.n_ended()
    }

    /// Ends sampling: everything that was seen.
    pub(crate) fn finish(mut self) -> Series {
        let cpu = self.end();
        let mut record = lock(&self.record);
        Series { points: std::mem::take(&mut record.points), cpu, gaps: std::mem::take(&mut record.gaps) }
    }

    fn end(&mut self) -> Duration {
        drop(self.stop.take());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

impl Record {
    fn look_for_new(&mut self) {
        self.tree.look_for_new();
    }

    fn sample(&mut self, since_last: Duration, every: Duration) {
        let at = self.zero.elapsed().as_secs_f64();
        if since_last > (every * NOTABLE_PAUSE).max(LEAST_NOTABLE_PAUSE) {
            let from = at - since_last.as_secs_f64();
            self.gaps.push(format!(
                "no samples from {from:.1} s to {at:.1} s: the machine or this program was held up"
            ));
        }
        self.tree.read();
        let cost = self.tree.cost();
        let each_rss_bytes: Vec<u64> = self.tree.each_rss_bytes().collect();
        self.points.push(Point {
            at,
            rss_bytes: each_rss_bytes.iter().sum(),
            each_rss_bytes,
            cpu_seconds: cost.cpu_seconds,
            minor_faults: cost.minor_faults,
            cgroup_bytes: self.group.as_ref().and_then(number),
        });
    }
}

/// The number that a file of a control group holds.
fn number(file: &File) -> Option<u64> {
    let mut buffer = [0; 32];
    let n = file.read_at(&mut buffer, 0).ok()?;
    str::from_utf8(&buffer[..n]).ok()?.trim().parse().ok()
}

/// Processor time that the calling thread has used.
pub(crate) fn cpu_of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
