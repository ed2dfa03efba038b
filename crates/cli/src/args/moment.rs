//! Moments of a recording on the command line: `90s` after its begin, `-30s` before its end.

use std::time::Duration;

use slackwater_profile::Window;

use crate::duration;

/// A moment of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// So long after its begin.
    After(Duration),
    /// So long before its end.
    BeforeEnd(Duration),
}

impl Moment {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('-') {
            Some(before) => duration::parse(before).map(Self::BeforeEnd),
            None if text == "0s" || text == "0" => Ok(Self::After(Duration::ZERO)),
            None => duration::parse(text).map(Self::After),
        }
    }

    fn ns(self, (first_ns, last_ns): (u64, u64)) -> u64 {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::After(after) => first_ns.saturating_add(ns(after)),
            Self::BeforeEnd(before) => last_ns.saturating_sub(ns(before)),
        }
    }
}

/// The part of a recording that is asked for.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Range {
    /// Count what was allocated from here on (90s after the begin, -5m before the end)
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) from: Option<Moment>,

    /// Look at this moment instead of the end: what was live then, and nothing that came later
    #[arg(long, visible_alias = "at", value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<Moment>,
}

impl Range {
    /// The window of a recording with these first and last moments.
    pub(crate) fn window(&self, span_ns: (u64, u64)) -> Window {
        let whole = Window::default();
        Window {
            from_ns: self.from.map_or(whole.from_ns, |from| from.ns(span_ns)),
            to_ns: self.until.map_or(whole.to_ns, |until| until.ns(span_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_the_begin_or_back_from_the_end() {
        let window = |from: &str, until: &str| {
            let moment = |text| Some(Moment::parse(text).unwrap());
            Range { from: moment(from), until: moment(until) }.window((5_000_000_000, 65_000_000_000))
        };
        assert_eq!(window("10s", "-5s"), Window { from_ns: 15_000_000_000, to_ns: 60_000_000_000 });
        assert_eq!(window("0s", "2m"), Window { from_ns: 5_000_000_000, to_ns: 125_000_000_000 });
        assert!(Moment::parse("-0s").is_err() && Moment::parse("noon").is_err());
        assert_eq!(Range { from: None, until: None }.window((5, 6)), Window::default());
    }
}
