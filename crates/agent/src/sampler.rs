//! Which allocations are sampled: a Poisson process over the bytes that a thread asks for.
//!
//! The distance to the next point is exponential with the wanted mean, so an allocation of `s` bytes is
//! sampled with probability `1 - exp(-s / mean)`, whatever came before it. Who reads the capture knows
//! size and mean, and weighs each sample by the inverse.
//!
//! Invariant: pure; no rounding favours a size. A point at distance `d` falls in the allocation that
//! contains byte `ceil(d)`.

use core::f64::consts::LN_2;

/// The next number of a sequence (splitmix64): any state is good, also those one apart.
pub(crate) fn next_random(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ mixed >> 31)
}

/// A distance in bytes, at least 1, from a random number.
pub(crate) fn distance(random: u64, mean: u64) -> i64 {
    // Above 0, at most 1.
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let distance = -natural_logarithm(uniform) * mean as f64;
    // The largest is 37 times the mean. Truncation is towards 0, hence the next integer.
    (distance as i64).saturating_add(1)
}

/// Of a positive, normal number. The standard library's is not there.
fn natural_logarithm(value: f64) -> f64 {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // ln m = 2 atanh((m - 1) / (m + 1)), and the argument is at most a third.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let (mut power, mut sum) = (ratio, 0.0);
    let mut divisor = 1.0;
    for _ in 0..16 {
        sum += power / divisor;
        power *= square;
        divisor += 2.0;
    }
    exponent as f64 * LN_2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library() {
        for value in [1.0, 0.5, 0.9999, 1e-3, 1.1e-16, 0.333_333, 2.0, 10.0] {
            let difference = natural_logarithm(value) - f64::ln(value);
            assert!(difference.abs() < 1e-12, "{value}: {difference}");
        }
    }

    /// How often an allocation of each size is sampled, against the probability that reports assume.
    #[test]
    fn sizes_are_sampled_as_often_as_they_should_be() {
        const MEAN: u64 = 4096;
        for size in [16_i64, 1000, 4096, 20_000] {
            let (mut state, mut countdown, mut n_sampled) = (size as u64, 0, 0_u32);
            let n = 200_000;
            for _ in 0..n {
                countdown -= size;
                if countdown <= 0 {
                    let (next, random) = next_random(state);
                    state = next;
                    // As after a sample; the first time it is merely the start.
                    countdown = distance(random, MEAN);
                    n_sampled += 1;
                }
            }
            let probability = -f64::exp_m1(-(size as f64) / MEAN as f64);
            let expected = probability * f64::from(n);
            let deviation = (expected * (1.0 - probability)).sqrt();
            let difference = f64::from(n_sampled) - expected;
            assert!(difference.abs() < 5.0 * deviation.max(1.0), "{size}: {n_sampled}, not {expected}");
        }
    }
}
