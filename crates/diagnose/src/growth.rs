//! Growth: how a watched service's memory moved, class by class and process by process.
//!
//! Invariant: pure. Samples go in with their time, slopes come out; no clock is read here.

mod slope;

use std::collections::BTreeMap;
use std::time::Duration;

use slackwater_base::{Class, Pid};
use slackwater_heap::Allocator;

use crate::{Growth, MallocKind, ObjectAllocator, ProcessReport, ServiceReport, Slope, Subject, Trend};

/// What one look saw of one process or of the service: bytes by subject.
type Bytes = [u64; Subject::ALL.len()];

/// One look, and whether every heap could be read in it. A heap that the target changed too fast to
/// be read is in another class for once: such a look says nothing but the total.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    bytes: Bytes,
    whole: bool,
}

/// The looks at one service, in order of time.
#[derive(Clone, Default, Debug)]
pub struct Series {
    service: Vec<Sample>,
    /// A process is followed by pid and start; one that came or went meanwhile has fewer samples.
    processes: BTreeMap<(Pid, u64), Vec<Sample>>,
}

impl Series {
    /// A series without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        self.service.len()
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.service.is_empty()
    }

    /// Adds what was seen at `at`, which lies after the sample before it on a monotonic clock.
    pub fn push(&mut self, at: Duration, service: &ServiceReport, processes: &[ProcessReport]) {
        let mut sum = Sample { at, bytes: Bytes::default(), whole: true };
        for report in processes {
            let bytes = Subject::ALL.map(|subject| of_process(report, subject));
            let sample = Sample { at, bytes, whole: is_whole(report) };
            for (sum, bytes) in sum.bytes.iter_mut().zip(bytes) {
                *sum += bytes;
            }
            sum.whole &= sample.whole;
            self.processes.entry((report.pid, report.start_ticks)).or_default().push(sample);
        }
        for (subject, place) in Subject::ALL.iter().zip(&mut sum.bytes) {
            match subject {
                Subject::Rss => *place = service.rss_bytes,
                Subject::Class(class) => *place = service.ledger[*class].service,
                // Copies of one heap after a fork are several heaps to the program: the sum stands.
                Subject::LiveBlocks | Subject::LivePython | Subject::LiveUnsplit => {}
            }
        }
        self.service.push(sum);
    }

    /// How the subjects moved: `None` with too few samples to say anything.
    pub fn growth(&self) -> Option<Growth> {
        let (first, last) = (self.service.first()?, self.service.last()?);
        let mut slopes = Vec::new();
        self::slopes(&self.service, None, &mut slopes);
        if slopes.is_empty() {
            return None;
        }
        for ((pid, _), samples) in &self.processes {
            // A process that was not there all the time is still warming up, or gone.
            if samples.len() == self.service.len() {
                self::slopes(samples, Some(*pid), &mut slopes);
            }
        }
        let duration = last.at.saturating_sub(first.at);
        Some(Growth { duration, n_samples: self.service.len() as u32, slopes })
    }
}

/// Whether every heap that is known to be there was read.
fn is_whole(report: &ProcessReport) -> bool {
    let has = |wanted: fn(&Allocator) -> bool| report.heaps.iter().any(|heap| wanted(&heap.heap.allocator));
    let pymalloc = report.python.as_ref().is_some_and(|python| python.objects == ObjectAllocator::Pymalloc);
    (!pymalloc || has(|allocator| matches!(allocator, Allocator::Pymalloc)))
        && match report.malloc.kind {
            MallocKind::Glibc => has(|allocator| matches!(allocator, Allocator::Glibc { .. })),
            MallocKind::Slackwater => has(|allocator| matches!(allocator, Allocator::Slackwater { .. })),
            _ => true,
        }
}

fn slopes(samples: &[Sample], pid: Option<Pid>, slopes: &mut Vec<Slope>) {
    let seconds = match (samples.first(), samples.last()) {
        (Some(first), Some(last)) => last.at.saturating_sub(first.at).as_secs_f64(),
        _ => return,
    };
    // Where most looks are torn, all are alike.
    let n_whole = samples.iter().filter(|sample| sample.whole).count();
    let needs_whole = n_whole * 2 >= samples.len();
    for (index, &subject) in Subject::ALL.iter().enumerate() {
        let counts = |sample: &&Sample| sample.whole || !needs_whole || subject == Subject::Rss;
        let points: Vec<slope::Point> = samples
            .iter()
            .filter(counts)
            .map(|sample| (sample.at.as_secs_f64(), sample.bytes[index] as f64))
            .collect();
        if points.iter().all(|point| point.1 == 0.0) {
            continue;
        }
        if let Some(line) = slope::line(&points) {
            slopes.push(Slope {
                subject,
                pid,
                bytes_per_second: line.slope,
                low: line.low,
                high: line.high,
                gained_bytes: (line.slope * seconds) as i64,
                trend: line.trend,
            });
        }
    }
}

fn of_process(report: &ProcessReport, subject: Subject) -> u64 {
    let live = |wanted: fn(&Allocator) -> bool| -> u64 {
        let heaps = report.heaps.iter().filter(|heap| wanted(&heap.heap.allocator));
        heaps.map(|heap| heap.heap.live.bytes).sum()
    };
    match subject {
        Subject::Rss => report.rss_bytes,
        Subject::Class(class) => report.ledger[class].process,
        Subject::LiveBlocks => live(|_| true),
        Subject::LivePython => live(|allocator| matches!(allocator, Allocator::Pymalloc)),
        Subject::LiveUnsplit => live(|allocator| !matches!(allocator, Allocator::Pymalloc)),
    }
}

impl Growth {
    /// The service's slope of `subject`.
    pub fn of(&self, subject: Subject) -> Option<&Slope> {
        self.slopes.iter().find(|slope| slope.subject == subject && slope.pid.is_none())
    }

    /// The service's slope of `subject`, if it grows.
    pub fn grows(&self, subject: Subject) -> Option<&Slope> {
        self.of(subject).filter(|slope| slope.trend == Trend::Grows)
    }

    /// The process whose `subject` grows fastest, if one alone makes up most of the growth.
    pub fn culprit(&self, subject: Subject) -> Option<Pid> {
        let whole = self.grows(subject)?.bytes_per_second;
        let growing =
            self.slopes.iter().filter(|slope| slope.subject == subject && slope.trend == Trend::Grows);
        let (pid, rate) = growing
            .filter_map(|slope| Some((slope.pid?, slope.bytes_per_second)))
            .max_by(|one, other| one.1.total_cmp(&other.1))?;
        (rate >= whole * crate::thresholds::CULPRIT_SHARE).then_some(pid)
    }
}

impl Subject {
    /// Every subject, in the order in which slopes are listed.
    pub const ALL: [Self; Class::ALL.len() + 4] = {
        let mut all = [Self::Rss; Class::ALL.len() + 4];
        all[1] = Self::LiveBlocks;
        all[2] = Self::LivePython;
        all[3] = Self::LiveUnsplit;
        let mut index = 0;
        while index < Class::ALL.len() {
            all[4 + index] = Self::Class(Class::ALL[index]);
            index += 1;
        }
        all
    };
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Addr, Ledger, PinnedBy, Resident};
    use slackwater_heap::{Arena, ArenaKind, Blocks, Heap};

    use super::*;
    use crate::HeapReport;
    use crate::rules::testing::{MIB, scene};

    /// Thirty looks at a process, one a second; `describe` says what each saw.
    fn watched(mut describe: impl FnMut(u64, &mut ProcessReport)) -> Growth {
        let mut series = Series::new();
        for second in 0..30 {
            let mut diagnosis = scene().python((3, 11, 0)).class(Class::File, MIB).concluded();
            diagnosis.processes[0].malloc.kind = MallocKind::Unknown;
            describe(second, &mut diagnosis.processes[0]);
            series.push(Duration::from_secs(second), &diagnosis.service, &diagnosis.processes);
        }
        series.growth().unwrap()
    }

    fn pymalloc(live: u64) -> HeapReport {
        let heap = Heap {
            allocator: Allocator::Pymalloc,
            arenas: vec![Arena::new(Addr(0), ArenaKind::Pymalloc)],
            ledger: Ledger::default(),
            pinned_by: PinnedBy::default(),
            live: Blocks { count: 1, bytes: live },
            claims: Vec::new(),
        };
        HeapReport { heap }
    }

    #[test]
    fn blocks_that_grow_inside_slack_are_growth() {
        let growth = watched(|second, process| process.heaps.push(pymalloc(10 * MIB + second * MIB)));
        let slope = growth.grows(Subject::LivePython).unwrap();
        assert!((slope.bytes_per_second - MIB as f64).abs() < 1.0, "{slope:?}");
        assert_eq!(growth.of(Subject::Rss).unwrap().trend, Trend::Flat);
        assert_eq!(growth.culprit(Subject::LivePython), Some(Pid(1)));
    }

    #[test]
    fn a_look_in_which_a_heap_could_not_be_read_says_nothing_of_heaps() {
        let growth = watched(|second, process| {
            if second % 3 == 0 {
                process.ledger[Class::Unexplained] = Resident { process: 50 * MIB, service: 50 * MIB };
            } else {
                process.heaps.push(pymalloc(10 * MIB + second * MIB));
            }
        });
        let slope = growth.grows(Subject::LivePython).unwrap();
        assert!((slope.low - MIB as f64).abs() < 1.0, "{slope:?}");
        assert!(growth.of(Subject::Class(Class::Unexplained)).is_none());
    }

    #[test]
    fn a_worker_that_came_later_has_no_slope_of_its_own() {
        let growth = watched(|second, process| {
            process.pid = Pid(if second < 15 { 1 } else { 2 });
            process.heaps.push(pymalloc(MIB));
        });
        assert!(growth.slopes.iter().all(|slope| slope.pid.is_none()));
    }
}
