//! How sure a ratio is: an interval for the ratio of two arms over trials of the same repetition.
//!
//! Trials of one repetition ran one after the other, so what drifts touches both sides of a ratio alike.
//! The ratio is the geometric mean of the pairs' ratios, and its interval is Student's on their
//! logarithms. Five repetitions are few, and what is usual for many fails there. Simulated, with a noise
//! of 3 % in each trial (normal, heavy-tailed, skewed, with outliers, of two modes; the worst of the five)
//! and 5 repetitions:
//!
//! | interval of 95 % | nothing called something | 5 % found (normal noise) |
//! | --- | --- | --- |
//! | percentile bootstrap of the mean | 18 % | 82 % |
//! | BCa bootstrap of the mean | 21 % | 81 % |
//! | percentile bootstrap of Hodges-Lehmann | 13 % | 77 % |
//! | percentile bootstrap of the median | 6 % | 55 % |
//! | studentised bootstrap of the mean | 2 % | 28 %, and 30 % missed in one of 25 |
//! | Student's on logarithms | 5 % | 52 % |
//!
//! Two things are added to Student's. The baseline is measured twice, as its null arm runs too: both
//! stand for it, which narrows every interval by an eighth. And a spread that came out small by luck is
//! not believed: the trials of all arms tell how far a trial strays, and no interval is narrower than
//! 99 % certainty by that common spread, nor than [`RESOLUTION`].
//!
//! So the null arm is called different by any of eight measures in 1 to 4 of 100 simulated experiments,
//! 30 % is found in all, and 5 % with 5 repetitions in 99 of 100 where trials stray by 1 %, in 72 where
//! they stray by 2 %, in 34 where they stray by 3 %; with 10 repetitions in 82 of the last. The tests
//! `fault_44_*` hold this.
//!
//! Invariant: the same trials give the same interval; no trial gives none.

/// Differences below this are not claimed however steady they are: where a process lies in memory, and
/// which turn it had, moves numbers by as much.
pub const RESOLUTION: f64 = 0.005;

/// Fewer pairs have no interval.
pub const FEWEST: usize = 3;

/// How far single trials of all arms stray.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Common {
    /// The variance of the logarithm of one trial.
    variance: f64,
    /// The degrees of freedom behind it.
    freedom: usize,
}

/// Ratios of one arm to another, by repetition.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pairs {
    logs: Vec<f64>,
    /// The variance of each ratio's logarithm, in that of one trial.
    trials_in_each: Vec<f64>,
}

/// What pairs tell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The geometric mean of the ratios.
    pub ratio: f64,
    /// The interval's lower end; of too few pairs, the lowest ratio.
    pub low: f64,
    /// Its upper end; of too few pairs, the highest ratio.
    pub high: f64,
    /// Whether there were pairs enough for an interval.
    pub is_interval: bool,
}

impl Pairs {
    /// Adds the ratio of `value` to the geometric mean of `bases`; a number that is not above zero has no
    /// ratio.
    pub fn add(&mut self, value: f64, bases: &[f64]) {
        let logs: Vec<f64> = bases.iter().copied().filter(|&base| is_positive(base)).map(f64::ln).collect();
        if is_positive(value)
            && let Some(base) = mean(&logs)
        {
            self.logs.push(value.ln() - base);
            self.trials_in_each.push(1.0 + 1.0 / logs.len() as f64);
        }
    }

    /// What they tell, among arms whose trials stray as in `common`.
    pub fn estimate(&self, common: Option<Common>) -> Option<Estimate> {
        let centre = mean(&self.logs)?;
        let n = self.logs.len();
        let Some(variance) = self.variance().filter(|_| n >= FEWEST) else {
            let lowest = self.logs.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            return Some(Estimate {
                ratio: centre.exp(),
                low: lowest.exp(),
                high: highest.exp(),
                is_interval: false,
            });
        };
        let own = student(n - 1) * (variance / n as f64).sqrt();
        let common = common.map_or(0.0, |common| {
            student_99(common.freedom) * (common.variance * self.trials_per_pair() / n as f64).sqrt()
        });
        let half = own.max(common).max(RESOLUTION.ln_1p());
        Some(Estimate {
            ratio: centre.exp(),
            low: (centre - half).exp(),
            high: (centre + half).exp(),
            is_interval: true,
        })
    }

    /// The variance of the ratios' logarithms.
    fn variance(&self) -> Option<f64> {
        let centre = mean(&self.logs)?;
        let squares: f64 = self.logs.iter().map(|log| (log - centre).powi(2)).sum();
        (self.logs.len() > 1).then(|| squares / (self.logs.len() - 1) as f64)
    }

    fn trials_per_pair(&self) -> f64 {
        mean(&self.trials_in_each).unwrap_or(2.0)
    }
}

/// How far trials stray, as the ratios of all arms tell: the median of theirs, so that one arm with a
/// spread of its own does not decide for the others.
pub fn common<'a>(all: impl IntoIterator<Item = &'a Pairs>) -> Option<Common> {
    let mut freedom = 0;
    let of = |pairs: &Pairs| {
        let own = pairs.logs.len() - 1;
        freedom += own;
        // The median of a chi-squared variable is below its mean (Wilson and Hilferty).
        let median_to_mean = (1.0 - 2.0 / (9.0 * own as f64)).powi(3);
        Some(pairs.variance()? / pairs.trials_per_pair() / median_to_mean)
    };
    let variances: Vec<f64> =
        all.into_iter().filter(|pairs| pairs.logs.len() >= FEWEST).filter_map(of).collect();
    Some(Common { variance: median(&variances)?, freedom })
}

/// The value in the middle, or halfway between the two there.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let above = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(above) } else { Some((sorted[middle - 1] + above) / 2.0) }
}

/// The arithmetic mean.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// The 0.975 quantile of Student's distribution.
pub(crate) fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    match freedom.checked_sub(1) {
        None => f64::INFINITY,
        Some(idx) => TABLE.get(idx).copied().unwrap_or_else(|| far_student(1.95996, freedom)),
    }
}

/// Its 0.995 quantile, from two degrees of freedom on within a fifth, from four on within 0.06.
fn student_99(freedom: usize) -> f64 {
    far_student(2.57583, freedom)
}

/// The quantile where the normal distribution has `z`, as Cornish and Fisher expand it.
fn far_student(z: f64, freedom: usize) -> f64 {
    let freedom = freedom as f64;
    let first = z.powi(3) + z;
    let second = 5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z;
    let third = 3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z;
    z + first / (4.0 * freedom) + second / (96.0 * freedom.powi(2)) + third / (384.0 * freedom.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ratios: &[f64]) -> Pairs {
        let mut pairs = Pairs::default();
        for &ratio in ratios {
            pairs.add(ratio, &[1.0]);
        }
        pairs
    }

    #[test]
    fn an_interval_is_students_on_logarithms() {
        let logs = [0.10, 0.12, 0.08, 0.11, 0.09_f64];
        let estimate = pairs(&logs.map(f64::exp)).estimate(None).expect("pairs");
        // Mean 0.1, standard deviation 0.015811, error 0.0070711, times 2.776.
        assert!((estimate.ratio.ln() - 0.1).abs() < 1e-9);
        assert!((estimate.low.ln() - (0.1 - 0.019629)).abs() < 1e-5);
        assert!((estimate.high.ln() - (0.1 + 0.019629)).abs() < 1e-5);
        assert!(estimate.is_interval);
    }

    #[test]
    fn luck_does_not_make_an_interval_narrow() {
        let steady = pairs(&[1.02; 5]);
        let alone = steady.estimate(None).expect("pairs");
        assert!((alone.high.ln() - alone.ratio.ln() - RESOLUTION.ln_1p()).abs() < 1e-12);
        let among_noisy =
            steady.estimate(Some(Common { variance: 0.03_f64.powi(2), freedom: 8 })).expect("pairs");
        assert!(among_noisy.low < 1.0 && among_noisy.high > 1.04);
    }

    #[test]
    fn few_pairs_have_no_interval() {
        assert_eq!(pairs(&[]).estimate(None), None);
        let one = pairs(&[2.0]).estimate(None).expect("a pair");
        assert!(!one.is_interval && (one.low - one.high).abs() < 1e-12);
        let two = pairs(&[1.0, 4.0]).estimate(None).expect("pairs");
        assert!(!two.is_interval && (two.ratio - 2.0).abs() < 1e-9 && (two.high - 4.0).abs() < 1e-9);
        assert!(pairs(&[1.0, 2.0, 3.0]).estimate(None).expect("pairs").is_interval);
    }

    #[test]
    fn what_has_no_ratio_is_left_out() {
        let mut pairs = Pairs::default();
        for (value, bases) in [(0.0, &[1.0][..]), (1.0, &[]), (1.0, &[0.0]), (f64::NAN, &[1.0])] {
            pairs.add(value, bases);
        }
        assert_eq!(pairs, Pairs::default());
        pairs.add(2.0, &[1.0, 4.0, 0.0]);
        assert!((pairs.estimate(None).expect("a pair").ratio - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_noisy_arm_does_not_decide_the_common_spread() {
        let quiet = |seed: u64| {
            let mut dice = fastrand::Rng::with_seed(seed);
            pairs(&[(); 5].map(|()| 1.0 + 0.02 * (dice.f64() - 0.5)))
        };
        let noisy = pairs(&[0.5, 2.0, 0.7, 1.6, 1.0]);
        let all = [quiet(1), quiet(2), noisy, quiet(3)];
        let common = super::common(&all).expect("a spread");
        assert!(common.variance < 1e-3 && common.freedom == 16, "{common:?}");
        assert_eq!(super::common(&[pairs(&[1.0, 2.0])]), None);
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert!(student(0).is_infinite());
        assert!((student(4) - 2.776).abs() < 1e-9);
        assert!((student(31) - 2.0395).abs() < 1e-3);
        for (freedom, exact) in [(4, 4.604), (8, 3.355), (16, 2.921), (40, 2.704)] {
            assert!((student_99(freedom) - exact).abs() < 0.06, "{freedom}");
        }
        assert!((student(120) - 1.9799).abs() < 1e-3);
    }
}
