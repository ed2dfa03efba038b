//! Axes: where they begin and end, where their ticks are, and where a value lies on paper.
//!
//! Invariant: an axis holds every value that it was made from, and no more ticks than can be read.

/// Ticks that an axis has, about.
const TICKS: f64 = 5.0;

/// A range of values with its ticks.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    is_logarithmic: bool,
}

impl Axis {
    /// From zero to `most`, or a little beyond.
    pub(super) fn from_zero(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_step(most / TICKS);
        Self::stepped(0.0, (most / step).ceil() * step, step)
    }

    /// Around some values and 1, with ends at round values.
    pub(super) fn around_one(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (0.95_f64, 1.05_f64);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        let step = round_step((high - low) / TICKS);
        Self::stepped((low / step).floor() * step, (high / step).ceil() * step, step)
    }

    /// From `low` to `high` exactly, with ticks at round values between.
    pub(super) fn spanning(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / TICKS);
        let first = (low / step).ceil() * step;
        let ticks = ticks(first, high, step);
        Self { low, high, ticks, is_logarithmic: false }
    }

    /// By factors, over positive values, with ticks at 1, 2 and 5 of each power of ten.
    pub(super) fn logarithmic(low: f64, high: f64) -> Self {
        let low = if low.is_finite() && low > 0.0 { low } else { 1e-3 };
        let high = if high.is_finite() && high > low { high } else { low * 10.0 };
        let mut ticks = Vec::new();
        let mut power = low.log10().floor() as i32;
        while ticks.last().is_none_or(|&last| last < high) {
            ticks.extend([1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
            power += 1;
        }
        let below = ticks.iter().rposition(|&tick| tick <= low * 1.000_001).unwrap_or(0);
        let above = ticks.iter().position(|&tick| tick >= high).unwrap_or(ticks.len() - 1);
        let (low, high) = (ticks[below], ticks[above]);
        let mut ticks = ticks[below..=above].to_vec();
        if ticks.len() > 8 {
            ticks.retain(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9);
        }
        Self { low, high, ticks, is_logarithmic: true }
    }

    fn stepped(low: f64, high: f64, step: f64) -> Self {
        Self { low, high, ticks: ticks(low, high, step), is_logarithmic: false }
    }

    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// Where `value` lies on a line from `from` to `to`.
    pub(super) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + share.clamp(0.0, 1.0) * (to - from)
    }
}

fn ticks(first: f64, high: f64, step: f64) -> Vec<f64> {
    let count = ((high - first) / step + 1e-9).floor().clamp(0.0, 50.0) as usize;
    (0..=count).map(|index| first + index as f64 * step).collect()
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(about: f64) -> f64 {
    let about = if about.is_finite() && about > 0.0 { about } else { 1.0 };
    let power = 10_f64.powf(about.log10().floor());
    let digit = [1.0, 2.0, 2.5, 5.0].into_iter().find(|digit| about <= digit * power * 1.000_001);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values_with_few_round_ticks() {
        for most in [1.0, 7.0, 612e6, 3.1e10, 0.003, 99.0, 0.0, f64::NAN] {
            let axis = Axis::from_zero(most);
            assert_eq!(axis.ticks()[0].to_bits(), 0_f64.to_bits());
            assert!((2..=7).contains(&axis.ticks().len()), "{most}: {axis:?}");
            assert!(most.is_nan() || axis.high >= most, "{most}: {axis:?}");
        }
        assert_eq!(Axis::from_zero(612e6).ticks(), [0.0, 200e6, 400e6, 600e6, 800e6]);
        let axis = Axis::logarithmic(0.011, 0.4);
        assert_eq!((axis.low, axis.high), (0.01, 0.5));
        assert!((2..=8).contains(&Axis::logarithmic(1e-4, 60.0).ticks().len()));
        assert!((2..=8).contains(&Axis::logarithmic(0.0, f64::NAN).ticks().len()));
        let axis = Axis::around_one([0.7, 1.32].into_iter());
        assert!(axis.low <= 0.7 && axis.high >= 1.32, "{axis:?}");
    }

    #[test]
    fn places_are_on_the_line() {
        let axis = Axis::spanning(-7.0, 84.0);
        assert_eq!(axis.place(-7.0, 10.0, 110.0).round() as i64, 10);
        assert_eq!(axis.place(1e9, 10.0, 110.0).round() as i64, 110);
        assert_eq!(axis.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0]);
        let axis = Axis::logarithmic(1.0, 100.0);
        assert_eq!(axis.place(10.0, 0.0, 100.0).round() as i64, 50);
    }
}
