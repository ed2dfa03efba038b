//! A count of bytes, as people write and read it.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// A number of bytes. Shown in powers of 1000 (`7.6 GB`), as DESIGN's session does; read in both
/// powers of 1000 (`500M`, `2GB`) and of 1024 (`64MiB`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return f.pad(&alloc::format!("{} B", self.0));
        }
        // Rounded before the unit is chosen, so that 999_500 is "1.0 MB" and never "1000 kB".
        let mut unit = 0;
        let mut divisor = 1000;
        while unit + 1 < UNITS.len() && rounded(self.0, divisor) >= 1000 {
            unit += 1;
            divisor *= 1000;
        }
        let tenths = rounded(self.0, divisor / 10);
        let text = if tenths >= 1000 {
            alloc::format!("{} {}", rounded(self.0, divisor), UNITS[unit])
        } else {
            alloc::format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
        };
        f.pad(&text)
    }
}

const fn rounded(bytes: u64, divisor: u64) -> u64 {
    (bytes / divisor) + (bytes % divisor >= divisor.div_ceil(2)) as u64
}

/// Why a text is not a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseBytesError(String);

impl fmt::Display for ParseBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a size; write it like 500M, 64MiB or 2GB", self.0)
    }
}

impl core::error::Error for ParseBytesError {}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseBytesError(text.to_string());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "ki" | "kib" => 1 << 10,
            "mi" | "mib" => 1 << 20,
            "gi" | "gib" => 1 << 30,
            "ti" | "tib" => 1 << 40,
            _ => return Err(refuse()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(refuse);
        }
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let bytes = number * factor as f64;
        if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(Self(bytes as u64)) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_three_digits_and_never_a_thousand() {
        let check = |bytes: u64, expected: &str| assert_eq!(Bytes(bytes).to_string(), expected);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(99_949, "99.9 kB");
        check(123_456, "123 kB");
        check(999_499, "999 kB");
        check(999_500, "1.0 MB");
        check(11_300_000_000, "11.3 GB");
        check(u64::MAX, "18447 PB");
    }

    #[test]
    fn reads_what_people_type() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse::<Bytes>().ok().map(|bytes| bytes.0), expected, "{text}");
        };
        check("512", Some(512));
        check("500M", Some(500_000_000));
        check("64MiB", Some(64 << 20));
        check("1.5 GB", Some(1_500_000_000));
        check("-1", None);
        check("", None);
        check("1.2.3", None);
        check("99999999999T", None);
        check("5 apples", None);
    }
}
