//! A robust line through a noisy series, and what it means.
//!
//! The slope is Theil and Sen's: the median over all pairs of points, which a fifth of wild points
//! cannot move. Its interval is Sen's, widened where neighbouring points resemble each other, as
//! memory's do: ten samples a second of one number are not ten observations.
//!
//! Growth is more than a positive slope. The floor must rise (a sawtooth's does not) and both
//! halves must rise (a warm-up's second half, or a single step's, does not).

use crate::{Trend, thresholds};

/// One observation: seconds, bytes.
pub(crate) type Point = (f64, f64);

/// A line through a series.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) slope: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) trend: Trend,
}

/// Most points that are paired with each other. Longer series are thinned evenly.
const MAX_POINTS: usize = 400;

/// The line through `points`, which are in order of time. `None` with too few of them.
pub(crate) fn line(points: &[Point]) -> Option<Line> {
    if points.len() < thresholds::GROWTH_MIN_SAMPLES {
        return None;
    }
    let points = thin(points);
    let (slope, low, high) = interval(&points)?;
    Some(Line { slope, low, high, trend: trend(&points, slope, low, high) })
}

/// The slope with its interval.
fn interval(points: &[Point]) -> Option<(f64, f64, f64)> {
    let slopes = pair_slopes(points);
    let slope = middle(&slopes)?;
    let n = points.len() as f64;
    // Kendall's variance: how far the rank of zero may stray by chance alone.
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let half_width = thresholds::GROWTH_Z * deviation / 2.0;
    let centre = slopes.len() as f64 / 2.0;
    let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
    let (low, high) = (at((centre - half_width).floor()), at((centre + half_width).ceil()));
    let wider = inflation(points, slope);
    Some((slope, slope - (slope - low) * wider, slope + (high - slope) * wider))
}

fn trend(points: &[Point], slope: f64, low: f64, high: f64) -> Trend {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Trend::Flat };
    let gain = slope * (last.0 - first.0);
    let level = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let material = thresholds::GROWTH_MIN_BYTES.max(level * thresholds::GROWTH_MIN_SHARE);
    if high < 0.0 && -gain >= material {
        return Trend::Falls;
    }
    let third = points.len() / 3;
    let floor = |part: &[Point]| part.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let risen = floor(&points[points.len() - third..]) - floor(&points[..third]);
    let (one, two) = points.split_at(points.len() / 2);
    let rises = |half: &[Point]| {
        middle(&pair_slopes(half)).is_some_and(|half| half >= slope * thresholds::GROWTH_HALF_SHARE)
    };
    let significant = low > 0.0 && gain >= material && risen >= gain * thresholds::GROWTH_FLOOR_SHARE;
    if significant && rises(one) && rises(two) {
        Trend::Grows
    } else if risen >= material && risen >= (level - floor(points)) * thresholds::SETTLED_SHARE {
        Trend::Settled
    } else {
        Trend::Flat
    }
}

fn thin(points: &[Point]) -> Vec<Point> {
    let step = points.len().div_ceil(MAX_POINTS).max(1);
    // From the end, so that the newest point is kept.
    let mut kept: Vec<Point> = points.iter().rev().step_by(step).copied().collect();
    kept.reverse();
    kept
}

/// The slopes between all pairs of points, sorted.
fn pair_slopes(points: &[Point]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, one) in points.iter().enumerate() {
        let later = points[index + 1..].iter().filter(|other| other.0 > one.0);
        slopes.extend(later.map(|other| (other.1 - one.1) / (other.0 - one.0)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// By how much neighbouring residuals' likeness widens the interval: the square root of the number
/// of points over the number of independent ones.
fn inflation(points: &[Point], slope: f64) -> f64 {
    let mut residuals: Vec<f64> = points.iter().map(|point| point.1 - slope * point.0).collect();
    let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
    residuals.iter_mut().for_each(|residual| *residual -= mean);
    let variance: f64 = residuals.iter().map(|residual| residual * residual).sum();
    // Residuals of a few bytes are rounding: the points lie on the line.
    if variance <= residuals.len() as f64 {
        return 1.0;
    }
    let covariance: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // Of few points around their own line, the estimate falls short by about (1 + 4 * likeness) / n.
    let n = residuals.len() as f64;
    let likeness = ((covariance / variance + 1.0 / n) / (1.0 - 4.0 / n).max(0.25)).clamp(0.0, 0.95);
    ((1.0 + likeness) / (1.0 - likeness)).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: f64 = (1 << 20) as f64;

    /// A small generator, so that the series are the same on every run.
    struct Noise(u64);

    impl Noise {
        /// About normal, with a deviation of one.
        fn next(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }

        fn uniform(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn series(n: usize, mut value: impl FnMut(f64) -> f64) -> Vec<Point> {
        (0..n).map(|index| index as f64 * 2.0).map(|at| (at, value(at))).collect()
    }

    fn trend_of(n: usize, value: impl FnMut(f64) -> f64) -> Trend {
        line(&series(n, value)).unwrap().trend
    }

    /// How many of 400 series of each kind are called growth.
    fn called_growth(mut make: impl FnMut(&mut Noise) -> Vec<Point>) -> usize {
        (1..=400u64)
            .filter(|seed| {
                let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                line(&make(&mut noise)).unwrap().trend == Trend::Grows
            })
            .count()
    }

    #[test]
    fn flat_series_with_noise_are_called_growth_in_less_than_one_in_twenty() {
        for n in [8, 12, 30, 120] {
            let independent = called_growth(|noise| series(n, |_| 500.0 * MIB + 20.0 * MIB * noise.next()));
            assert!(independent < 20, "{independent} of 400 with {n} points");
            let mut level = 0.0;
            let like_memory = called_growth(|noise| {
                series(n, |_| {
                    level = 0.8 * level + 10.0 * MIB * noise.next();
                    500.0 * MIB + level
                })
            });
            assert!(like_memory < 20, "{like_memory} of 400 correlated with {n} points");
        }
    }

    #[test]
    fn leaks_are_called_growth() {
        for (n, at_least) in [(8, 100), (12, 300), (30, 390), (120, 400)] {
            // Ten deviations over the time watched.
            let found = called_growth(|noise| {
                series(n, |at| 500.0 * MIB + 40.0 * MIB * at / (2.0 * n as f64) + 4.0 * MIB * noise.next())
            });
            assert!(found >= at_least, "{found} of 400 with {n} points");
        }
        assert_eq!(trend_of(30, |at| 100.0 * MIB + at * MIB), Trend::Grows);
    }

    #[test]
    fn the_slope_and_its_interval_hold_the_truth() {
        let mut noise = Noise(7);
        let points = series(60, |at| 100.0 * MIB + at * MIB + 5.0 * MIB * noise.next());
        let line = line(&points).unwrap();
        assert!(line.low < MIB && MIB < line.high, "{line:?}");
        assert!((line.slope - MIB).abs() < 0.1 * MIB, "{line:?}");
    }

    #[test]
    fn what_only_looks_like_growth_is_not() {
        let check = |name: &str, trend: Trend, value: &dyn Fn(f64) -> f64| {
            assert_eq!(trend_of(60, value), trend, "{name}");
        };
        check("constant", Trend::Flat, &|_| 500.0 * MIB);
        check("sawtooth", Trend::Flat, &|at| 100.0 * MIB + (at % 30.0) * 5.0 * MIB);
        assert_ne!(trend_of(60, |at| 100.0 * MIB + (at % 70.0) * MIB), Trend::Grows, "slow sawtooth");
        check("ever taller teeth on one floor", Trend::Flat, &|at| 100.0 * MIB + (at % 12.0) * at * MIB);
        check("warm-up", Trend::Settled, &|at| 500.0 * MIB * (1.0 - (-at / 20.0).exp()));
        check("rises, then stays", Trend::Settled, &|at| 100.0 * MIB + at.min(70.0) * MIB);
        check("too little", Trend::Flat, &|at| 500.0 * MIB + at * 1000.0);
        check("falls", Trend::Falls, &|at| 500.0 * MIB - at * MIB);
    }

    #[test]
    fn a_single_step_is_not_growth() {
        for step in 1..11 {
            let at_step = f64::from(step) * 10.0;
            let trend = trend_of(60, |at| 100.0 * MIB + if at < at_step { 0.0 } else { 200.0 * MIB });
            assert_ne!(trend, Trend::Grows, "step at {at_step}");
        }
    }

    #[test]
    fn a_leak_below_a_sawtooth_is_growth() {
        assert_eq!(trend_of(90, |at| 100.0 * MIB + at * MIB + (at % 20.0) * MIB), Trend::Grows);
    }

    #[test]
    fn too_few_points_say_nothing() {
        assert_eq!(line(&series(thresholds::GROWTH_MIN_SAMPLES - 1, |at| at * MIB)), None);
        assert_eq!(line(&[]), None);
    }

    proptest! {
        #[test]
        fn any_series_is_survived(values in prop::collection::vec((0.0..1e6f64, 0.0..1e15f64), 0..900)) {
            let mut points = values;
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            if let Some(line) = line(&points) {
                prop_assert!(line.low <= line.slope && line.slope <= line.high, "{line:?}");
            }
        }

        #[test]
        fn a_clean_leak_of_any_size_is_found(rate in 0.1..1000.0f64, level in 0.0..4000.0f64, n in 8usize..200) {
            let points = series(n, |at| level * MIB + rate * MIB * at);
            prop_assert_eq!(line(&points).unwrap().trend, Trend::Grows);
        }
    }
}
