//! A time span, as people write it: `500ms`, `60s`, `5m`, `1h`.

use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseDurationError(String);

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a duration; write it like 500ms, 60s, 5m or 1h", self.0)
    }
}

impl core::error::Error for ParseDurationError {}

/// Reads a duration; a number without a unit is seconds.
///
/// # Errors
/// A sentence for the user.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let refuse = || ParseDurationError(text.to_string());
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(refuse()),
    };
    let seconds = number.parse::<f64>().map_err(|_| refuse())? * seconds_per_unit;
    Duration::try_from_secs_f64(seconds).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let check = |text: &str, millis: Option<u128>| {
            assert_eq!(parse_duration(text).ok().map(|duration| duration.as_millis()), millis, "{text}");
        };
        check("60s", Some(60_000));
        check("500ms", Some(500));
        check("1.5m", Some(90_000));
        check("30", Some(30_000));
        check("1h", Some(3_600_000));
        check("0s", Some(0));
        check("-1s", None);
        check("5 apples", None);
        check("", None);
        check("99999999999999999999h", None);
    }
}
