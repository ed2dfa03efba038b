//! From samples and costs to the figures of one round.

use slackwater_base::Pid;
use slackwater_procfs::Root;

use crate::result::{Answers, Point, Round};
use crate::sample::Cost;

/// The last part of the idle time over which RSS is taken.
const LAST_PART: f64 = 0.1;

/// One round, as it was lived through; seconds since the trial's zero.
pub(super) struct Span {
    pub(super) load_from: f64,
    pub(super) load_until: f64,
    pub(super) idle_until: f64,
    pub(super) answers: Option<Answers>,
    pub(super) loaded: Cost,
    pub(super) whole: Cost,
    pub(super) exact: Option<Exact>,
}

/// What the kernel counts page by page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    pub(super) pss_bytes: u64,
    pub(super) private_bytes: u64,
    pub(super) swapped_bytes: u64,
}

/// Counts the pages of all these processes; `None` when one of them cannot be read: a sum without it would
/// be wrong.
pub(super) fn exact(pids: &[Pid]) -> Option<Exact> {
    let root = Root::host();
    let mut sum = Exact { pss_bytes: 0, private_bytes: 0, swapped_bytes: 0 };
    for pid in pids {
        let usage = match root.process(*pid).and_then(|process| process.usage()) {
            Ok(usage) => usage,
            Err(error) if error.is_gone() => continue,
            Err(_) => return None,
        };
        sum.pss_bytes += usage.pss_bytes;
        sum.private_bytes += usage.private_bytes();
        sum.swapped_bytes += usage.swap_bytes;
    }
    (!pids.is_empty()).then_some(sum)
}

impl Span {
    /// Its figures; `None` when memory was not seen in it.
    pub(super) fn round(self, points: &[Point]) -> Option<Round> {
        let within = |from: f64, until: f64| {
            points
                .iter()
                .filter(move |point| from <= point.at && point.at <= until)
                .map(|point| point.rss_bytes)
        };
        let peak_rss_bytes = within(self.load_from, self.idle_until).max().filter(|bytes| *bytes > 0)?;
        let idle = self.idle_until - self.load_until;
        let mut last: Vec<u64> = within(self.idle_until - LAST_PART * idle, self.idle_until).collect();
        if last.is_empty() {
            // Idle for less than ten samples, or not at all: what was seen last.
            last.extend(within(self.load_from, self.idle_until).rfind(|bytes| *bytes > 0));
        }
        Some(Round {
            load_from: self.load_from,
            load_until: self.load_until,
            idle_until: self.idle_until,
            load: self.answers,
            loaded_cpu_seconds: self.loaded.cpu_seconds,
            cpu_seconds: self.whole.cpu_seconds,
            minor_faults: self.whole.minor_faults,
            major_faults: self.whole.major_faults,
            peak_rss_bytes,
            idle_rss_bytes: median(&mut last)?,
            idle_pss_bytes: self.exact.map(|exact| exact.pss_bytes),
            idle_private_bytes: self.exact.map(|exact| exact.private_bytes),
        })
    }
}

fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: f64, rss_bytes: u64) -> Point {
        Point {
            at,
            rss_bytes,
            each_rss_bytes: vec![rss_bytes],
            cpu_seconds: 0.0,
            minor_faults: 0,
            cgroup_bytes: None,
        }
    }

    fn span(load_from: f64, load_until: f64, idle_until: f64) -> Span {
        let (loaded, whole) = (Cost::default(), Cost::default());
        Span { load_from, load_until, idle_until, answers: None, loaded, whole, exact: None }
    }

    #[test]
    fn the_peak_is_of_load_and_idle_and_idle_is_the_median_of_the_last_tenth() {
        let points: Vec<Point> = (0..=30)
            .map(|second| {
                point(
                    f64::from(second),
                    match second {
                        0..=9 => 5000,
                        10..=19 => 900,
                        20..=26 => 400,
                        27 => 950,
                        29 => 130,
                        28 => 100,
                        _ => 110,
                    },
                )
            })
            .collect();
        let round = span(10.0, 15.0, 30.0).round(&points).unwrap();
        assert_eq!((round.peak_rss_bytes, round.idle_rss_bytes), (950, 120));
    }

    #[test]
    fn work_without_idle_time_ends_with_what_was_seen_last() {
        let points = [point(0.0, 10), point(0.1, 30), point(0.2, 20), point(0.3, 0)];
        let round = span(0.0, 0.35, 0.35).round(&points).unwrap();
        assert_eq!((round.peak_rss_bytes, round.idle_rss_bytes), (30, 20));
        assert!(span(0.0, 0.05, 0.05).round(&[point(0.0, 0)]).is_none());
    }
}
