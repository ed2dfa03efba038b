//! Durations on the command line: `500ms`, `60s`, `5m`, `1h`, and never zero.

use std::time::Duration;

/// Reads a duration above zero.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let duration = slackwater_base::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err(format!("'{text}' is no time at all")) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_at_all_is_refused() {
        assert_eq!(parse("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse("0s"), Err("'0s' is no time at all".to_owned()));
        assert!(parse("soon").unwrap_err().contains("500ms, 60s"));
    }
}
