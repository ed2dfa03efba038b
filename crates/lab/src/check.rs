//! The gate: limits of the plan and of the command line against what was measured.
//!
//! Invariant: a limit on something that was not measured is not kept.

use slackwater_base::{Bytes, parse_duration};
use slackwater_tune::nearest;

use crate::compare::name;
use crate::measure::Unit;
use crate::plan::{Bound, Limit, Plan};
use crate::result::{Comparison, Measure};

/// One limit, held against one arm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The arm.
    pub arm: String,
    /// How it stands.
    pub state: State,
    /// What was measured and what is allowed, in a line.
    pub text: String,
}

/// How a limit stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Kept.
    Kept,
    /// Crossed.
    Crossed,
    /// Nothing to hold it against.
    NotMeasured,
}

/// Holds `limits` against what was compared. One without an arm is held against every arm but the null
/// arms.
pub fn check(plan: &Plan, limits: &[Limit], comparison: &Comparison) -> Vec<Checked> {
    let mut all = Vec::new();
    for limit in limits {
        let meant = |arm: &&crate::plan::Arm| match &limit.arm {
            Some(name) => arm.name == *name,
            None => arm.is_null_of.is_none(),
        };
        all.extend(plan.arms.iter().filter(meant).map(|arm| hold(limit, &arm.name, comparison)));
    }
    all
}

/// Whether every limit is kept.
pub fn passes(checked: &[Checked]) -> bool {
    checked.iter().all(|one| one.state == State::Kept)
}

fn hold(limit: &Limit, arm: &str, comparison: &Comparison) -> Checked {
    let measure = limit.measure;
    let compared =
        comparison.arms.iter().find(|one| one.arm == arm).and_then(|one| one.measures.get(&measure));
    let Some(compared) = compared else {
        let text = format!("{} of '{arm}' was not measured, so the limit is not kept", name(measure));
        return Checked { arm: arm.to_owned(), state: State::NotMeasured, text };
    };
    let (measured, bound, shown, allowed) = match limit.bound {
        Bound::Absolute(bound) => {
            (compared.median, bound, in_unit(measure, compared.median), in_unit(measure, bound))
        }
        Bound::Ratio(bound) => {
            let ratio = format!("{:.2} ({:.2} to {:.2})", compared.ratio, compared.low, compared.high);
            (compared.ratio, bound, format!("{ratio} of {}'s", comparison.baseline), format!("{bound:.2}"))
        }
    };
    let (is_kept, word, sign) = if measure.higher_is_better() {
        (measured >= bound, "below", ">=")
    } else {
        (measured <= bound, "above", "<=")
    };
    let (state, text) = if is_kept {
        (State::Kept, format!("{} of '{arm}' is {shown}: kept, {sign} {allowed}", name(measure)))
    } else {
        (State::Crossed, format!("{} of '{arm}' is {shown}, {word} the limit of {allowed}", name(measure)))
    };
    Checked { arm: arm.to_owned(), state, text }
}

/// A number in its measure's unit, as people read it.
fn in_unit(measure: Measure, value: f64) -> String {
    match measure.unit() {
        Unit::Bytes => Bytes(value as u64).to_string(),
        Unit::Seconds if value < 1.0 => format!("{:.2} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Number => format!("{value:.1}"),
    }
}

/// What `MEASURE[:ARM]<=VALUE` bounds: `idle_rss:slackwater<=200MB`, `p99<=40ms`, `throughput>=100`, or
/// with an `x` a ratio to the first arm, `cpu<=1.03x`.
///
/// # Errors
/// A sentence for the user.
pub fn parse_limit(text: &str, plan: &Plan) -> Result<Limit, String> {
    let refuse =
        || format!("'{text}' is no limit; write it like idle_rss:slackwater<=200MB, p99<=40ms or cpu<=1.03x");
    let (sign_at, sign) = ["<=", ">="]
        .into_iter()
        .filter_map(|sign| Some((text.rfind(sign)?, sign)))
        .max()
        .ok_or_else(refuse)?;
    let (left, value) = (text[..sign_at].trim(), text[sign_at + sign.len()..].trim());
    let (word, arm) = match left.split_once(':') {
        Some((word, arm)) => (word.trim(), Some(arm.trim())),
        None => (left, None),
    };
    let keys = || Measure::ALL.iter().map(|one| one.key());
    let measure = Measure::ALL.iter().copied().find(|one| one.key() == word).ok_or_else(|| {
        let known = keys().collect::<Vec<_>>().join(", ");
        match nearest(word, keys()) {
            Some(nearest) => format!("there is no measure '{word}'; did you mean {nearest}?"),
            None => format!("there is no measure '{word}'; there are {known}"),
        }
    })?;
    let right_sign = if measure.higher_is_better() { ">=" } else { "<=" };
    if sign != right_sign {
        return Err(format!("{measure} is bounded by {right_sign}, not by {sign}"));
    }
    let names = || plan.arms.iter().map(|arm| arm.name.as_str());
    if let Some(arm) = arm.filter(|arm| !names().any(|name| name == *arm)) {
        return Err(match nearest(arm, names()) {
            Some(nearest) => format!("there is no arm '{arm}'; did you mean '{nearest}'?"),
            None => format!("there is no arm '{arm}'; there are {}", names().collect::<Vec<_>>().join(", ")),
        });
    }
    let bound = match value.strip_suffix('x') {
        Some(ratio) => ratio.trim().parse().ok().map(Bound::Ratio),
        None => absolute(value, measure.unit()).map(Bound::Absolute),
    };
    let is_sound = |bound: &Bound| match bound {
        Bound::Absolute(value) | Bound::Ratio(value) => value.is_finite() && *value > 0.0,
    };
    let bound = bound.filter(is_sound).ok_or_else(refuse)?;
    Ok(Limit { arm: arm.map(str::to_owned), measure, bound })
}

fn absolute(value: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Bytes => value.parse::<Bytes>().ok().map(|bytes| bytes.0 as f64),
        // A bare number could be meant in seconds or in milliseconds.
        Unit::Seconds if value.ends_with(|last: char| last.is_ascii_digit()) => None,
        Unit::Seconds => parse_duration(value).ok().map(|time| time.as_secs_f64()),
        Unit::Number => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::compare::simulation::{Machine, SAME, Truth, plan};

    #[test]
    fn a_limit_is_read_as_it_is_typed() {
        let plan = plan(&["glibc", "ours: new"], 3);
        let check = |text: &str, arm: Option<&str>, measure: Measure, bound: Bound| {
            let expected = Limit { arm: arm.map(str::to_owned), measure, bound };
            assert_eq!(parse_limit(text, &plan), Ok(expected), "{text}");
        };
        check("idle_rss:glibc<=200MB", Some("glibc"), Measure::IdleRss, Bound::Absolute(200e6));
        check(
            "idle_rss : ours: new <= 1GiB",
            Some("ours: new"),
            Measure::IdleRss,
            Bound::Absolute(1073741824.0),
        );
        check("p99<=40ms", None, Measure::P99, Bound::Absolute(0.040));
        check("cpu<=1.03x", None, Measure::Cpu, Bound::Ratio(1.03));
        check("throughput>=100", None, Measure::Throughput, Bound::Absolute(100.0));
        for (text, words) in [
            ("idle_rss", "write it like"),
            ("idle_rs<=1MB", "did you mean idle_rss?"),
            ("idle_rss:glib<=1MB", "did you mean 'glibc'?"),
            ("idle_rss>=1MB", "bounded by <="),
            ("throughput<=1", "bounded by >="),
            ("p99<=40", "write it like"),
            ("p99<=-1x", "write it like"),
            ("cpu<=nanx", "write it like"),
            ("", "write it like"),
        ] {
            let error = parse_limit(text, &plan).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_limit_is_kept_or_crossed_or_not_measured() {
        let plan = plan(&["glibc", "ours"], 3);
        let truth = |arm: &str| if arm == "ours" { Truth { memory: 0.5, ..SAME } } else { SAME };
        let trials = Machine::new(0.001, 0.0, 1).experiment(&plan, truth);
        let comparison = compare(&plan, &trials);
        let check = |text: &str, states: &[State]| {
            let checked = check(&plan, &[parse_limit(text, &plan).expect(text)], &comparison);
            assert_eq!(
                checked.iter().map(|one| one.state).collect::<Vec<_>>(),
                states,
                "{text}: {checked:?}"
            );
            assert_eq!(passes(&checked), states.iter().all(|state| *state == State::Kept));
        };
        check("idle_rss:ours<=110MB", &[State::Kept]);
        check("idle_rss<=110MB", &[State::Crossed, State::Kept]);
        check("idle_rss:ours<=0.55x", &[State::Kept]);
        check("idle_rss:ours<=0.45x", &[State::Crossed]);
        check("throughput:ours>=25", &[State::Crossed]);
        let crossed = &super::check(
            &plan,
            &[parse_limit("idle_rss:glibc<=110MB", &plan).expect("a limit")],
            &comparison,
        )[0];
        assert!(
            crossed.text.contains("idle RSS of 'glibc' is 200 MB, above the limit of 110 MB"),
            "{}",
            crossed.text
        );
        let none = compare(&plan, &[]);
        let limit = parse_limit("cpu<=1s", &plan).expect("a limit");
        assert!(super::check(&plan, &[limit], &none).iter().all(|one| one.state == State::NotMeasured));
    }
}
