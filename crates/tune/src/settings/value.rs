//! What a setting may be set to, and how its allocator wants that written.

use slackwater_base::Bytes;

/// The values that a setting takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// On or off, written `true` or `false`.
    Switch,
    /// On or off, written `1` or `0`.
    Flag,
    /// A whole number in a range.
    Number {
        /// The smallest.
        least: i64,
        /// The largest.
        most: i64,
    },
    /// A time, written in milliseconds; -1 for never.
    Milliseconds,
    /// A size, written in bytes.
    Size {
        /// The largest.
        most: u64,
    },
    /// A number that may have a fraction.
    Decimal {
        /// The largest; the smallest is 0.
        most: f64,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number in a range, or one of these words.
    NumberOr(&'static [&'static str]),
    /// Anything that does not break the list it is part of; the text says what.
    Text(&'static str),
}

impl Kind {
    /// The value as the allocator wants it written, or `None` when it is not one of this kind.
    pub(crate) fn written(self, value: &str) -> Option<String> {
        match self {
            Self::Switch => switch(value).map(|on| on.to_string()),
            Self::Flag => switch(value).map(|on| u8::from(on).to_string()),
            Self::Number { least, most } => number(value, least, most),
            Self::Milliseconds => milliseconds(value),
            Self::Size { most } => {
                let bytes: Bytes = value.parse().ok()?;
                (bytes.0 <= most).then(|| bytes.0.to_string())
            }
            Self::Decimal { most } => {
                let decimal: f64 = value.parse().ok()?;
                (0.0..=most).contains(&decimal).then(|| value.to_owned())
            }
            Self::OneOf(words) => words.contains(&value).then(|| value.to_owned()),
            Self::NumberOr(words) => {
                if words.contains(&value) {
                    Some(value.to_owned())
                } else {
                    number(value, 1, i64::MAX)
                }
            }
            Self::Text(_) => {
                let sound = |byte: u8| byte.is_ascii_graphic() && byte != b',';
                (!value.is_empty() && value.bytes().all(sound)).then(|| value.to_owned())
            }
        }
    }

    /// What is allowed, for a message: `on or off`, `one of default, always, never`.
    pub fn allowed(self) -> String {
        match self {
            Self::Switch | Self::Flag => "on or off".to_owned(),
            Self::Number { least, most: i64::MAX } => format!("a whole number, {least} or more"),
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::Milliseconds => "a time (5000, 500ms or 5s), or -1 for never".to_owned(),
            Self::Size { most: u64::MAX } => "a size (131072, 64KiB or 1MiB)".to_owned(),
            Self::Size { most } => format!("a size (131072, 64KiB or 1MiB) of at most {most} bytes"),
            Self::Decimal { most } => format!("a number from 0 to {most}"),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::NumberOr(words) => format!("a whole number above zero, or {}", words.join(", ")),
            Self::Text(what) => what.to_owned(),
        }
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn number(value: &str, least: i64, most: i64) -> Option<String> {
    let number: i64 = value.parse().ok()?;
    (least..=most).contains(&number).then(|| number.to_string())
}

fn milliseconds(value: &str) -> Option<String> {
    if value == "-1" || value == "never" {
        return Some("-1".to_owned());
    }
    let (digits, factor) = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (value, 1),
    };
    let whole: u32 = digits.parse().ok()?;
    Some((u64::from(whole) * factor).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: &str, written: Option<&str>) {
        assert_eq!(kind.written(value).as_deref(), written, "{kind:?} {value}");
    }

    #[test]
    fn values_are_written_as_their_allocator_wants_them() {
        check(Kind::Switch, "on", Some("true"));
        check(Kind::Switch, "0", Some("false"));
        check(Kind::Switch, "maybe", None);
        check(Kind::Flag, "true", Some("1"));
        check(Kind::Number { least: 1, most: 4 }, "4", Some("4"));
        check(Kind::Number { least: 1, most: 4 }, "5", None);
        check(Kind::Number { least: 0, most: 4 }, "-1", None);
        check(Kind::Milliseconds, "5s", Some("5000"));
        check(Kind::Milliseconds, "250ms", Some("250"));
        check(Kind::Milliseconds, "1000", Some("1000"));
        check(Kind::Milliseconds, "never", Some("-1"));
        check(Kind::Milliseconds, "-2", None);
        check(Kind::Milliseconds, "s", None);
        check(Kind::Milliseconds, "99999999999", None);
        check(Kind::Size { most: u64::MAX }, "64KiB", Some("65536"));
        check(Kind::Size { most: 100 }, "101", None);
        check(Kind::Size { most: u64::MAX }, "-1", None);
        check(Kind::Decimal { most: 10.0 }, "1.5", Some("1.5"));
        check(Kind::Decimal { most: 10.0 }, "NaN", None);
        check(Kind::OneOf(&["always", "never"]), "never", Some("never"));
        check(Kind::OneOf(&["always", "never"]), "nev", None);
        check(Kind::NumberOr(&["default"]), "default", Some("default"));
        check(Kind::NumberOr(&["default"]), "0", None);
        check(Kind::Text("a list"), "1-160:16|129-512:4", Some("1-160:16|129-512:4"));
        check(Kind::Text("a list"), "a,b", None);
        check(Kind::Text("a list"), "", None);
    }
}
