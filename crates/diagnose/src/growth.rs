//! Growth: how a watched service's memory moved, class by class and process by process.
//!
//! Invariant: pure. Samples go in with their time, slopes come out; no clock is read here.

mod slope;

use std::collections::BTreeMap;
use std::time::Duration;

use slackwater_base::{Class, Pid};
use slackwater_heap::Allocator;

use crate::{Growth, ProcessReport, ServiceReport, Slope, Subject, Trend};

/// What one look saw of one process or of the service: bytes by subject.
type Bytes = [u64; Subject::ALL.len()];

/// The looks at one service, in order of time.
#[derive(Clone, Default, Debug)]
pub struct Series {
    times: Vec<Duration>,
    service: Vec<Bytes>,
    /// A process is followed by pid and start; one that came or went meanwhile has fewer points.
    processes: BTreeMap<(Pid, u64), Vec<(usize, Bytes)>>,
}

impl Series {
    /// A series without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds what was seen at `at`, which lies after the sample before it on a monotonic clock.
    pub fn push(&mut self, at: Duration, service: &ServiceReport, processes: &[ProcessReport]) {
        let index = self.times.len();
        self.times.push(at);
        let mut whole = Bytes::default();
        for report in processes {
            let mut bytes = Bytes::default();
            for (subject, place) in Subject::ALL.iter().zip(&mut bytes) {
                *place = of_process(report, *subject);
            }
            for (sum, bytes) in whole.iter_mut().zip(bytes) {
                *sum += bytes;
            }
            self.processes.entry((report.pid, report.start_ticks)).or_default().push((index, bytes));
        }
        for (subject, place) in Subject::ALL.iter().zip(&mut whole) {
            match subject {
                Subject::Rss => *place = service.rss_bytes,
                Subject::Class(class) => *place = service.ledger[*class].service,
                // Copies of one heap after a fork are several heaps to the program: the sum stands.
                Subject::LiveBlocks | Subject::LivePython | Subject::LiveUnsplit => {}
            }
        }
        self.service.push(whole);
    }

    /// How the subjects moved: `None` with too few samples to say anything.
    pub fn growth(&self) -> Option<Growth> {
        let (first, last) = (self.times.first()?, self.times.last()?);
        let mut slopes = Vec::new();
        let points = self.times.iter().copied().zip(self.service.iter().copied()).collect::<Vec<_>>();
        self::slopes(&points, None, &mut slopes);
        if slopes.is_empty() {
            return None;
        }
        for ((pid, _), seen) in &self.processes {
            // A process that was not there all the time is still warming up, or gone.
            if seen.len() == self.times.len() {
                let points =
                    seen.iter().map(|(index, bytes)| (self.times[*index], *bytes)).collect::<Vec<_>>();
                self::slopes(&points, Some(*pid), &mut slopes);
            }
        }
        Some(Growth { duration: last.saturating_sub(*first), n_samples: self.times.len() as u32, slopes })
    }
}

fn slopes(points: &[(Duration, Bytes)], pid: Option<Pid>, slopes: &mut Vec<Slope>) {
    let seconds = match (points.first(), points.last()) {
        (Some(first), Some(last)) => last.0.saturating_sub(first.0).as_secs_f64(),
        _ => return,
    };
    for (index, &subject) in Subject::ALL.iter().enumerate() {
        let series: Vec<slope::Point> =
            points.iter().map(|(at, bytes)| (at.as_secs_f64(), bytes[index] as f64)).collect();
        if series.iter().all(|point| point.1 == 0.0) {
            continue;
        }
        if let Some(line) = slope::line(&series) {
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
        Subject::LiveUnsplit => live(|allocator| matches!(allocator, Allocator::Glibc { .. })),
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
