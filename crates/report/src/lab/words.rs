//! Measures, ratios and verdicts in words.
//!
//! Invariant: a ratio never stands without its interval, and a difference that was not shown to be one
//! is never called one.

use slackwater_base::Bytes;
use slackwater_lab::result::{Compared, Experiment, LoadModel, Measure, Verdict};

use super::arms::is_per_answer;
use crate::visible;

/// The measures of an experiment in the order in which they are shown. Of an open load the answers per
/// second are what was asked for, unless an arm fell behind.
pub(super) fn measures(experiment: &Experiment) -> Vec<Measure> {
    let all = [
        Measure::PeakRss,
        Measure::IdleRss,
        Measure::IdlePss,
        Measure::Cpu,
        Measure::P50,
        Measure::P99,
        Measure::Throughput,
        Measure::MinorFaults,
    ];
    let arms = || experiment.comparison.iter().flat_map(|comparison| &comparison.arms);
    let is_told = |measure: &Measure| {
        *measure != Measure::Throughput
            || experiment.model != LoadModel::Open
            || arms()
                .filter_map(|arm| arm.measures.get(measure))
                .any(|compared| matches!(compared.verdict, Verdict::Better | Verdict::Worse))
    };
    all.into_iter().filter(is_told).collect()
}

/// A measure's name, as the text of a sentence has it.
pub(super) const fn name(measure: Measure, per_answer: bool) -> &'static str {
    match (measure, per_answer) {
        (Measure::PeakRss, _) => "peak memory",
        (Measure::IdleRss, _) => "memory after load",
        (Measure::IdlePss, _) => "PSS after load",
        (Measure::Cpu, true) => "CPU per request",
        (Measure::Cpu, false) => "CPU",
        (Measure::P50, _) => "median latency",
        (Measure::P99, _) => "p99 latency",
        (Measure::Throughput, _) => "answers per second",
        (Measure::MinorFaults, true) => "page faults per request",
        (Measure::MinorFaults, false) => "page faults",
    }
}

/// A value of a measure with its unit.
pub(super) fn amount(measure: Measure, value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "?".to_owned();
    }
    match measure {
        Measure::PeakRss | Measure::IdleRss | Measure::IdlePss => bytes(value),
        Measure::Cpu | Measure::P50 | Measure::P99 => seconds(value),
        Measure::Throughput => format!("{}/s", three_digits(value)),
        Measure::MinorFaults => three_digits(value),
    }
}

/// A size.
pub(super) fn bytes(value: f64) -> String {
    Bytes(value.round() as u64).to_string()
}

/// A size at a tick of an axis: `400 MB`, with no digit that every tick has.
pub(super) fn tick_bytes(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { bytes(value).replace(".0 ", " ") }
}

/// A time at a tick of an axis.
pub(super) fn tick_seconds(value: f64) -> String {
    let minutes = value / 60.0;
    match value.abs() {
        size if size >= 600.0 && minutes.fract() == 0.0 => format!("{minutes:.0} min"),
        size if size < 10.0 && value.fract() != 0.0 => format!("{value:.1} s"),
        _ => format!("{value:.0} s"),
    }
}

/// A latency at a tick of an axis.
pub(super) fn tick_latency(value: f64) -> String {
    match value {
        value if value < 0.999e-3 => format!("{} µs", plain(value * 1e6)),
        value if value < 0.999 => format!("{} ms", plain(value * 1e3)),
        value => format!("{} s", plain(value)),
    }
}

/// A number without zeros that say nothing.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time, in the unit that leaves it three digits.
pub(super) fn seconds(value: f64) -> String {
    // Rounded before the unit is chosen, so that 0.9996 ms is 1.00 ms and never 1000 us.
    let fits = |unit: f64| value / unit < 999.5;
    if value == 0.0 {
        "0 s".to_owned()
    } else if fits(1e-6) {
        format!("{} µs", three_digits(value * 1e6))
    } else if fits(1e-3) {
        format!("{} ms", three_digits(value * 1e3))
    } else {
        format!("{} s", three_digits(value))
    }
}

/// A number with three digits, or with all that stand before the point.
pub(super) fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        value if value < 0.0995 => return format!("{value:.2e}"),
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A ratio: two decimals, more where it is small.
pub(super) fn ratio(value: f64) -> String {
    match value {
        value if !value.is_finite() => "?".to_owned(),
        value if value < 0.0995 => format!("{value:.3}"),
        value if value < 9.995 => format!("{value:.2}"),
        value => three_digits(value),
    }
}

/// Whether an interval was found; without enough trials there is none.
pub(super) fn has_interval(compared: &Compared) -> bool {
    compared.verdict != Verdict::Baseline
        && compared.verdict != Verdict::TooFew
        && compared.low.is_finite()
        && compared.high.is_finite()
}

/// `0.38 (0.34 to 0.42)`, or as much of it as there is.
pub(super) fn ratio_and_interval(compared: &Compared) -> String {
    match compared.verdict {
        Verdict::Baseline => "1".to_owned(),
        _ if has_interval(compared) => {
            format!("{} ({} to {})", ratio(compared.ratio), ratio(compared.low), ratio(compared.high))
        }
        _ => ratio(compared.ratio),
    }
}

/// A verdict in words.
pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Baseline => "baseline",
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifferenceSeen => "no difference seen",
        Verdict::TooFew => "too few trials",
    }
}

/// A verdict in a column headed "difference".
pub(super) const fn verdict_in_column(of: Verdict) -> &'static str {
    match of {
        Verdict::NoDifferenceSeen => "none seen",
        of => verdict(of),
    }
}

/// How the load comes, in words.
pub(super) const fn model(model: LoadModel) -> &'static str {
    match model {
        LoadModel::Open => "open load: requests at a rate, latency counted from when each was due",
        LoadModel::Closed => "closed load: users who wait for each answer, which hides stalls",
        LoadModel::External => "load from another program",
        LoadModel::Work => "no load: the service does its work and ends",
    }
}

/// `5 trials`, `1 trial`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A name of the plan's, harmless and no longer than `most` characters.
pub(super) fn short(name: &str, most: usize) -> String {
    let name = visible(name);
    if name.chars().count() <= most {
        return name.into_owned();
    }
    let kept: String = name.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// By how much a measure differs from the baseline's: `62 % less (58 to 66 %)`.
pub(super) fn difference(compared: &Compared, less: &str, more: &str) -> String {
    let percent = percent_of;
    let (word, from, to) = if compared.ratio < 1.0 {
        (less, compared.high, compared.low)
    } else {
        (more, compared.low, compared.high)
    };
    let same_side = (compared.low < 1.0) == (compared.high < 1.0);
    // Beyond twice as much, percent are hard to read.
    if compared.ratio >= 2.0 {
        let interval = format!(" ({} to {})", ratio(compared.low), ratio(compared.high));
        let interval = if has_interval(compared) { interval } else { String::new() };
        return format!("{} times as much{interval}", ratio(compared.ratio));
    }
    let interval = match (has_interval(compared), same_side) {
        (false, _) => String::new(),
        (true, true) => format!(" ({} to {} %)", percent(from), percent(to)),
        (true, false) => {
            format!(" ({} % {less} to {} % {more})", percent(compared.low), percent(compared.high))
        }
    };
    format!("{} % {word}{interval}", percent(compared.ratio))
}

/// By how many percent a ratio is off 1.
pub(super) fn percent_of(ratio: f64) -> String {
    format!("{:.0}", (100.0 * (ratio - 1.0).abs()).round())
}

/// Every measure of an arm by what is said of it, worst news last.
pub(super) fn by_verdict(
    experiment: &Experiment,
    measure: impl Fn(Measure) -> Option<Compared>,
) -> Vec<(Verdict, Vec<String>)> {
    let per_answer = is_per_answer(experiment);
    let measures = measures(experiment);
    [Verdict::Better, Verdict::Worse, Verdict::NoDifferenceSeen, Verdict::TooFew]
        .into_iter()
        .filter_map(|wanted| {
            let items: Vec<String> = measures
                .iter()
                .copied()
                .filter_map(|one| Some((one, measure(one)?)))
                .filter(|(_, compared)| compared.verdict == wanted)
                .map(|(one, compared)| match wanted {
                    // A ratio beside "no difference" would be read as one.
                    Verdict::NoDifferenceSeen => name(one, per_answer).to_owned(),
                    _ => format!("{} {}", name(one, per_answer), ratio(compared.ratio)),
                })
                .collect();
            (!items.is_empty()).then_some((wanted, items))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(ratio: f64, low: f64, high: f64, verdict: Verdict) -> Compared {
        Compared { median: 1.0, ratio, low, high, verdict }
    }

    #[test]
    fn times_and_numbers_keep_three_digits() {
        let check = |value, expected: &str| assert_eq!(seconds(value), expected);
        check(0.0, "0 s");
        check(0.000_012_34, "12.3 µs");
        check(0.000_999_6, "1.00 ms");
        check(0.0123, "12.3 ms");
        check(0.9996, "1.00 s");
        check(123.4, "123 s");
        assert_eq!(three_digits(0.012_34), "1.23e-2");
        assert_eq!(amount(Measure::Throughput, 19.98), "20.0/s");
        assert_eq!(amount(Measure::IdleRss, f64::NAN), "?");
    }

    #[test]
    fn a_difference_is_told_with_its_interval_and_sign() {
        let check = |of: Compared, expected: &str| assert_eq!(difference(&of, "less", "more"), expected);
        check(compared(0.38, 0.34, 0.42, Verdict::Better), "62 % less (58 to 66 %)");
        check(compared(1.07, 1.05, 1.09, Verdict::Worse), "7 % more (5 to 9 %)");
        check(compared(1.02, 0.98, 1.06, Verdict::NoDifferenceSeen), "2 % more (2 % less to 6 % more)");
        check(compared(2.5, 2.3, 2.7, Verdict::Worse), "2.50 times as much (2.30 to 2.70)");
        check(compared(0.5, 0.5, 0.5, Verdict::TooFew), "50 % less");
    }

    #[test]
    fn names_are_cut_by_characters_and_made_harmless_first() {
        assert_eq!(short("café au lait", 6), "café …");
        assert_eq!(short("a\u{202e}b", 20), "a\\u{202e}b");
    }
}
