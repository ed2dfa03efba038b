//! What became of every request: counts, and latencies kept whole.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use super::Progress;
use super::error::LoadError;
use crate::result::{Answers, Latency};

/// The longest latency that is told apart from longer ones.
const HOUR_US: u64 = 3_600_000_000;
/// Three significant digits: off by 0.1 % at the most.
const DIGITS: u8 = 3;

/// Counts that only go up.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) n_due: u64,
    pub(super) n_timeouts: u64,
    pub(super) n_resent: u64,
    n_right: u64,
    n_wrong: u64,
    n_failed: u64,
    latency_us: Histogram<u64>,
    late_ns: Histogram<u64>,
    first_wrong: Option<String>,
    first_failure: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, LoadError> {
        let histogram = |high| Histogram::new_with_bounds(1, high, DIGITS).map_err(LoadError::Histogram);
        Ok(Self {
            n_due: 0,
            n_timeouts: 0,
            n_resent: 0,
            n_right: 0,
            n_wrong: 0,
            n_failed: 0,
            latency_us: histogram(HOUR_US)?,
            late_ns: histogram(HOUR_US * 1000)?,
            first_wrong: None,
            first_failure: None,
        })
    }

    /// A request went out, this late for reasons on our side.
    pub(super) fn sent(&mut self, late: Duration) {
        self.late_ns.saturating_record(whole(late.as_nanos()));
    }

    pub(super) fn right(&mut self, latency: Duration) {
        self.n_right += 1;
        self.latency_us.saturating_record(whole(latency.as_micros()));
    }

    pub(super) fn wrong(&mut self, describe: impl FnOnce() -> String) {
        self.n_wrong += 1;
        self.first_wrong.get_or_insert_with(describe);
    }

    pub(super) fn failed(&mut self, describe: impl FnOnce() -> String) {
        self.n_failed += 1;
        self.first_failure.get_or_insert_with(describe);
    }

    pub(super) fn progress(&self, elapsed: Duration) -> Progress {
        let n_bad = self.n_wrong + self.n_timeouts + self.n_failed;
        Progress { elapsed, n_due: self.n_due, n_right: self.n_right, n_bad }
    }

    /// All of it, after a load of this length.
    pub(super) fn answers(&self, elapsed: Duration) -> Result<Answers, LoadError> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.latency_us, &mut bytes).map_err(LoadError::Serialize)?;
        Ok(Answers {
            n_due: self.n_due,
            n_right: self.n_right,
            n_wrong: self.n_wrong,
            n_timeouts: self.n_timeouts,
            n_failed: self.n_failed,
            n_resent: self.n_resent,
            late_p99_seconds: quantile(&self.late_ns, 0.99) / 1e9,
            right_per_second: self.n_right as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            example_of_wrong: self.first_wrong.clone().or_else(|| self.first_failure.clone()),
            latency_us_hdr: STANDARD.encode(bytes),
            latency: Latency {
                p50: quantile(&self.latency_us, 0.5) / 1e6,
                p90: quantile(&self.latency_us, 0.9) / 1e6,
                p99: quantile(&self.latency_us, 0.99) / 1e6,
                p999: quantile(&self.latency_us, 0.999) / 1e6,
                max: self.latency_us.max() as f64 / 1e6,
            },
        })
    }
}

/// 0 of an empty histogram.
fn quantile(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    // The upper end of a bucket is above what was seen when that is the maximum.
    histogram.value_at_quantile(quantile).min(histogram.max()) as f64
}

/// At least 1, the lowest that a histogram tells from nothing.
fn whole(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX).max(1)
}
