//! A CPython release, as `PY_VERSION_HEX` and `PY_VERSION` write it.

use core::fmt;
use core::str::FromStr;

/// How far a release is from final.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ReleaseLevel {
    /// `a`: features still come and go.
    Alpha,
    /// `b`: features are fixed, layouts are not.
    Beta,
    /// `rc`: layouts are fixed.
    Candidate,
    /// Released.
    Final,
}

/// A CPython release, ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PythonVersion {
    /// 3.
    pub major: u8,
    /// 11.
    pub minor: u8,
    /// 7.
    pub micro: u8,
    /// Alpha, beta, candidate, final.
    pub level: ReleaseLevel,
    /// Number within the level: 2 in `3.15.0b2`, 0 for final releases.
    pub serial: u8,
}

/// The text does not begin with a Python version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseVersionError;

impl PythonVersion {
    /// The oldest minor release of Python 3 whose layouts are known.
    pub const OLDEST_MINOR: u8 = 8;
    /// The newest one.
    pub const NEWEST_MINOR: u8 = 15;

    /// From `PY_VERSION_HEX` (Include/patchlevel.h): major, minor, micro, level and serial from the
    /// top byte down. `None` when the level is none of the four.
    pub const fn from_hex(hex: u32) -> Option<Self> {
        let [tail, micro, minor, major] = hex.to_le_bytes();
        let level = match tail >> 4 {
            0xa => ReleaseLevel::Alpha,
            0xb => ReleaseLevel::Beta,
            0xc => ReleaseLevel::Candidate,
            0xf => ReleaseLevel::Final,
            _ => return None,
        };
        Some(Self { major, minor, micro, level, serial: tail & 0xf })
    }

    /// Whether the layouts of this minor release are known.
    pub const fn is_known(self) -> bool {
        self.major == 3 && self.minor >= Self::OLDEST_MINOR && self.minor <= Self::NEWEST_MINOR
    }

    /// The known minor release nearest to this one, as `(major, minor)`.
    pub fn nearest_known(self) -> (u8, u8) {
        match self.major {
            3 => (3, self.minor.clamp(Self::OLDEST_MINOR, Self::NEWEST_MINOR)),
            major if major < 3 => (3, Self::OLDEST_MINOR),
            _ => (3, Self::NEWEST_MINOR),
        }
    }

    /// Whether this is at least release `3.minor`, previews included.
    pub const fn is_from(self, minor: u8) -> bool {
        self.major > 3 || self.major == 3 && self.minor >= minor
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        match self.level {
            ReleaseLevel::Alpha => write!(f, "a{}", self.serial),
            ReleaseLevel::Beta => write!(f, "b{}", self.serial),
            ReleaseLevel::Candidate => write!(f, "rc{}", self.serial),
            ReleaseLevel::Final => Ok(()),
        }
    }
}

/// Reads the version at the start of a text; what follows it (`+`, ` (main, ...`) is not looked at.
impl FromStr for PythonVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.').ok_or(ParseVersionError)?)?;
        let (micro, rest) = number(rest.strip_prefix('.').ok_or(ParseVersionError)?)?;
        let (level, rest) =
            [("a", ReleaseLevel::Alpha), ("b", ReleaseLevel::Beta), ("rc", ReleaseLevel::Candidate)]
                .into_iter()
                .find_map(|(mark, level)| Some((level, rest.strip_prefix(mark)?)))
                .unwrap_or((ReleaseLevel::Final, rest));
        let serial = if level == ReleaseLevel::Final { 0 } else { number(rest)?.0 };
        Ok(Self { major, minor, micro, level, serial })
    }
}

fn number(text: &str) -> Result<(u8, &str), ParseVersionError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).ok_or(ParseVersionError)?;
    Ok((digits.parse().map_err(|_| ParseVersionError)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_text_agree() {
        let check = |hex, text: &str, shown: &str| {
            let version = PythonVersion::from_hex(hex).unwrap();
            assert_eq!(Ok(version), text.parse());
            assert_eq!(version.to_string(), shown);
        };
        check(0x030b_07f0, "3.11.7 (main, May  9 2026)", "3.11.7");
        check(0x0308_12f0, "3.8.18+", "3.8.18");
        check(0x030f_00b2, "3.15.0b2+", "3.15.0b2");
        check(0x030e_00c3, "3.14.0rc3", "3.14.0rc3");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        assert_eq!(PythonVersion::from_hex(0x030b_0710), None);
        for text in ["", "3", "3.11", "3.x.1", "3.999.1", "3.15.0a", "three"] {
            assert_eq!(text.parse::<PythonVersion>(), Err(ParseVersionError), "{text}");
        }
    }

    #[test]
    fn the_nearest_known_release_is_named() {
        let near = |text: &str| text.parse::<PythonVersion>().unwrap().nearest_known();
        assert_eq!(near("2.7.18"), (3, 8));
        assert_eq!(near("3.7.16"), (3, 8));
        assert_eq!(near("3.16.0a1"), (3, 15));
        assert_eq!(near("4.0.0"), (3, 15));
    }
}
