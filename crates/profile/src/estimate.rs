//! Totals from samples, and how sure they are.
//!
//! An allocation of `s` bytes is sampled with probability `p = 1 - exp(-s / mean)` and counts for `1 / p`
//! of its like. The sum over samples is unbiased, and so is `sum s² (1 - p) / p²` for its variance
//! (Horvitz and Thompson). A count of few samples is no normal variable: the interval is that of a Poisson
//! count of as many equal samples as would have the same relative variance, by Wilson and Hilferty's
//! approximation of the exact one. It is exact in the two ends: many blocks far smaller than the mean, and
//! blocks so large that each is sampled.
//!
//! Mappings are never sampled: their bytes are certain, and stand beside the estimate. But certain bytes
//! are not all there is: where sampling saw nothing, up to `-ln(0.025)` times the mean may have been.

use slackwater_capture::Amount;

/// Two-sided 95 %.
const Z: f64 = 1.959_964;
/// Upper end of the interval of a Poisson count of none: `-ln(0.025)`.
const UNSEEN: f64 = 3.688_879;

/// A total.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Estimate {
    /// Bytes, without bias.
    pub bytes: f64,
    /// Allocations, without bias.
    pub count: f64,
    /// Variance of the bytes.
    variance: f64,
    /// Events that it was made from.
    pub n_seen: u64,
    /// Bytes of those that are no estimate.
    certain_bytes: f64,
    /// Largest mean distance of samples, in bytes; 0 where every event was recorded.
    mean: f64,
}

/// What the truth lies within in 95 of 100 recordings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

impl Estimate {
    /// One allocation that is all it stands for.
    pub const fn exact(size: u64) -> Self {
        Self::certain(size, 0)
    }

    /// One allocation that is all it stands for, among others that are sampled with this mean distance.
    pub const fn certain(size: u64, mean: u64) -> Self {
        let bytes = size as f64;
        Self { bytes, count: 1.0, variance: 0.0, n_seen: 1, certain_bytes: bytes, mean: mean as f64 }
    }

    /// One sampled allocation, where samples have this mean distance in bytes.
    pub fn sampled(size: u64, mean: u64) -> Self {
        let (size, mean) = (size.max(1) as f64, mean.max(1) as f64);
        let probability = -f64::exp_m1(-size / mean);
        Self {
            bytes: size / probability,
            count: 1.0 / probability,
            variance: size * size * (1.0 - probability) / (probability * probability),
            n_seen: 1,
            certain_bytes: 0.0,
            mean,
        }
    }

    /// A piece of a range: the call that made it is counted with what is left of it, if anything is.
    pub(crate) const fn piece(bytes: u64, is_last: bool) -> Self {
        let (bytes, n) = (bytes as f64, is_last as u64);
        Self { bytes, count: n as f64, variance: 0.0, n_seen: n, certain_bytes: bytes, mean: 0.0 }
    }

    /// One of its ranges has become two.
    pub(crate) const fn split(&mut self) {
        self.count += 1.0;
        self.n_seen = self.n_seen.saturating_add(1);
    }

    /// What of it is not part of `other`: as [`Estimate::remove`], and nothing more is lost of it.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self {
            bytes: (self.bytes - other.bytes).max(0.0),
            // A range that was split is as many blocks as there are pieces.
            count: self.count - other.count,
            variance: (self.variance - other.variance).max(0.0),
            n_seen: self.n_seen.saturating_sub(other.n_seen),
            certain_bytes: (self.certain_bytes - other.certain_bytes).max(0.0),
            mean: self.mean,
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.count += other.count;
        self.variance += other.variance;
        self.n_seen = self.n_seen.saturating_add(other.n_seen);
        self.certain_bytes += other.certain_bytes;
        self.mean = self.mean.max(other.mean);
    }

    /// Without what was part of it.
    pub fn remove(&mut self, other: &Self) {
        self.n_seen = self.n_seen.saturating_sub(other.n_seen);
        if self.n_seen == 0 {
            // Sums of fractions do not come back to 0 by themselves.
            *self = Self { mean: self.mean, ..Self::default() };
            return;
        }
        self.bytes = (self.bytes - other.bytes).max(0.0);
        self.count = (self.count - other.count).max(0.0);
        self.variance = (self.variance - other.variance).max(0.0);
        self.certain_bytes = (self.certain_bytes - other.certain_bytes).max(0.0);
    }

    /// Variance of the bytes: variances of parts add up, and give the interval of their sum.
    pub const fn variance(&self) -> f64 {
        self.variance
    }

    /// Bytes that are no estimate, of mappings.
    pub const fn certain_bytes(&self) -> f64 {
        self.certain_bytes
    }

    /// Whether sampling leaves anything open.
    pub fn is_exact(&self) -> bool {
        self.mean == 0.0 && self.variance == 0.0
    }

    /// What the true bytes lie within.
    pub fn interval(&self) -> Interval {
        let unseen = self.bytes + UNSEEN * self.mean;
        let sampled = self.bytes - self.certain_bytes;
        if self.variance <= 0.0 || sampled <= 0.0 {
            return Interval { low: self.bytes, high: unseen };
        }
        let unit = self.variance / sampled;
        let n = sampled / unit;
        let low = n * (1.0 - 1.0 / (9.0 * n) - Z / (3.0 * n.sqrt())).powi(3);
        let m = n + 1.0;
        let high = m * (1.0 - 1.0 / (9.0 * m) + Z / (3.0 * m.sqrt())).powi(3);
        let (low, high) = (low.max(0.0) * unit, high * unit);
        Interval { low: self.certain_bytes + low, high: (self.certain_bytes + high).max(unseen) }
    }
}

impl From<&Amount> for Estimate {
    fn from(amount: &Amount) -> Self {
        let Amount { bytes, count, variance, certain_bytes, sample_mean: mean, n_seen } = *amount;
        Self { bytes, count, variance, n_seen, certain_bytes, mean }
    }
}

impl From<&Estimate> for Amount {
    fn from(estimate: &Estimate) -> Self {
        let Estimate { bytes, count, variance, n_seen, certain_bytes, mean: sample_mean } = *estimate;
        Self { bytes, count, variance, certain_bytes, sample_mean, n_seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How often the truth is inside, over many recordings of the same allocations.
    fn coverage(sizes: &[u64], mean: u64) -> (f64, f64) {
        let truth: u64 = sizes.iter().sum();
        let (mut state, mut n_inside, mut sum) = (truth, 0, 0.0);
        let n_recordings = 2000;
        for _ in 0..n_recordings {
            let mut estimate = Estimate::default();
            for &size in sizes {
                if random(&mut state) < -f64::exp_m1(-(size as f64) / mean as f64) {
                    estimate.add(&Estimate::sampled(size, mean));
                }
            }
            let interval = estimate.interval();
            n_inside += u32::from((interval.low..=interval.high).contains(&(truth as f64)));
            sum += estimate.bytes;
        }
        (f64::from(n_inside) / f64::from(n_recordings), sum / f64::from(n_recordings) / truth as f64)
    }

    #[test]
    fn the_truth_is_inside_as_often_as_promised_and_the_mean_is_unbiased() {
        let mean = 512 << 10;
        let many_small = vec![2000; 10_000];
        let few_small = vec![10_000; 400];
        let large: Vec<u64> = (1..60).map(|n| n * 50_000).collect();
        let mixed: Vec<u64> = (0..3000).map(|n| if n % 100 == 0 { 2 << 20 } else { 4096 }).collect();
        for sizes in [many_small, few_small, large, mixed] {
            let (inside, bias) = coverage(&sizes, mean);
            assert!(inside >= 0.93, "{} blocks: {inside} inside", sizes.len());
            assert!((bias - 1.0).abs() < 0.04, "{} blocks: {bias} of the truth", sizes.len());
        }
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        let mut estimate = Estimate::default();
        let parts: Vec<_> = (1..100).map(|n| Estimate::sampled(n * 777, 4096)).collect();
        parts.iter().for_each(|part| estimate.add(part));
        parts.iter().for_each(|part| estimate.remove(part));
        assert_eq!((estimate.bytes, estimate.count, estimate.n_seen), (0.0, 0.0, 0));
        assert_eq!(Estimate::exact(5).interval(), Interval { low: 5.0, high: 5.0 });
    }

    #[test]
    fn what_was_seen_whole_leaves_open_what_was_not_seen() {
        let mut estimate = Estimate::certain(1_000_000, 1000);
        assert!(!estimate.is_exact());
        assert_eq!(estimate.interval(), Interval { low: 1e6, high: 1e6 + UNSEEN * 1000.0 });
        estimate.add(&Estimate::sampled(10, 1000));
        let interval = estimate.interval();
        // One sample: a Poisson count of 1 lies between 0.025 and 5.57.
        assert!(interval.low >= 1e6 && (1_005_400.0..1_005_700.0).contains(&interval.high), "{interval:?}");
    }
}
