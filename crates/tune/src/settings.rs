//! `--set KEY=VALUE`: every setting of every allocator, what it may be, and what it means.
//!
//! Invariant: an assignment that leaves this module names a setting that exists, with a value that its
//! allocator takes, written as it wants it.

mod glibc;
mod jemalloc;
mod mimalloc;
mod slackwater;
mod tcmalloc;
mod value;

pub use self::value::Kind;

use crate::{Allocator, nearest as slips};

/// Something that an allocator can be told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Where its allocator looks for it.
    pub home: Home,
    /// What it may be.
    pub kind: Kind,
    /// What it means, in one line.
    pub about: &'static str,
    /// The first version of the allocator that knows it, where not every one in use does.
    pub since: Option<&'static str>,
    /// Whether it is one of the few that decide how much memory a service keeps.
    pub everyday: bool,
}

/// Where an allocator looks for a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// `key:value` in the list that is `MALLOC_CONF`.
    Conf,
    /// An environment variable of its own.
    Variable(&'static str),
    /// `glibc.malloc.key=value` in the list that is `GLIBC_TUNABLES`.
    Tunable {
        /// The variable of its own that every release reads, where there is one.
        variable: Option<&'static str>,
    },
}

/// A setting and the value it shall have.
#[derive(Clone, PartialEq, Debug)]
pub struct Assignment {
    /// The setting.
    pub setting: &'static Setting,
    /// The value, as the allocator wants it written.
    pub value: String,
}

/// Why a `KEY=VALUE` is no setting.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// It is not of the form.
    #[error("'{0}' is not of the form KEY=VALUE")]
    Form(String),
    /// The allocator has no such setting.
    #[error("{allocator} has no setting '{key}'")]
    Unknown {
        /// The allocator.
        allocator: Allocator,
        /// What was asked for.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
        /// Another allocator that has it.
        other: Option<Allocator>,
    },
    /// It cannot be set to that.
    #[error("'{value}' is not a value of {key}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What was asked for.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl SettingError {
    /// What was probably meant, or what there is.
    pub fn hint(&self) -> String {
        match self {
            Self::Form(_) => "write for example --set dirty_decay_ms=5000".to_owned(),
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::Unknown { other: Some(other), .. } => {
                format!("{other} has; choose it with --allocator {other}")
            }
            Self::Unknown { allocator, .. } => {
                let keys: Vec<&str> =
                    settings(*allocator).filter(|one| one.everyday).map(|one| one.key).collect();
                format!("the usual ones are {}; --set help lists all", keys.join(", "))
            }
            Self::Value { key, allowed, .. } => format!("{key} is {allowed}"),
        }
    }
}

/// Every setting of `allocator`, the usual ones first.
pub fn settings(allocator: Allocator) -> impl Iterator<Item = &'static Setting> {
    let tables: &[&'static [Setting]] = match allocator {
        Allocator::Slackwater => &[slackwater::OPTIONS, jemalloc::OPTIONS],
        Allocator::Jemalloc => &[jemalloc::OPTIONS, jemalloc::PROFILING],
        Allocator::Mimalloc => &[mimalloc::OPTIONS],
        Allocator::Tcmalloc => &[tcmalloc::OPTIONS],
        Allocator::Glibc => &[glibc::TUNABLES],
    };
    tables.iter().copied().flatten()
}

/// The setting of `allocator` that is called `key`: by its own name, or by the name of its variable
/// (`MALLOC_ARENA_MAX`) or tunable (`glibc.malloc.arena_max`).
pub fn find(allocator: Allocator, key: &str) -> Option<&'static Setting> {
    let short = without_namespace(allocator, key);
    settings(allocator).find(|setting| setting.key == short || setting.variable() == Some(key))
}

/// A tunable of glibc by its last name.
fn without_namespace(allocator: Allocator, key: &str) -> &str {
    key.strip_prefix("glibc.malloc.").filter(|_| allocator == Allocator::Glibc).unwrap_or(key)
}

/// The key of `allocator` that `key` is most likely a slip of.
pub fn nearest(allocator: Allocator, key: &str) -> Option<&'static str> {
    let short = without_namespace(allocator, key);
    let of_keys = slips::nearest(short, settings(allocator).map(|setting| setting.key));
    of_keys.or_else(|| slips::nearest(key, settings(allocator).filter_map(Setting::variable)))
}

/// What `KEY=VALUE` assigns.
pub fn parse(allocator: Allocator, text: &str) -> Result<Assignment, SettingError> {
    let form = || SettingError::Form(text.to_owned());
    // jemalloc's own form is KEY:VALUE, and whoever pastes it means the same.
    let (key, value) = text.split_once(['=', ':']).ok_or_else(form)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(form());
    }
    assign(allocator, key, value)
}

/// The assignment of `value` to `key`.
pub fn assign(allocator: Allocator, key: &str, value: &str) -> Result<Assignment, SettingError> {
    let Some(setting) = find(allocator, key) else {
        return Err(SettingError::Unknown {
            allocator,
            key: key.to_owned(),
            nearest: nearest(allocator, key),
            other: Allocator::ALL.iter().copied().find(|&other| find(other, key).is_some()),
        });
    };
    let value = setting.kind.written(value).ok_or_else(|| SettingError::Value {
        key: setting.key,
        value: value.to_owned(),
        allowed: setting.kind.allowed(),
    })?;
    Ok(Assignment { setting, value })
}

impl Setting {
    /// The environment variable that holds this setting and no other, if there is one.
    pub const fn variable(&self) -> Option<&'static str> {
        match self.home {
            Home::Conf => None,
            Home::Variable(variable) => Some(variable),
            Home::Tunable { variable } => variable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allocator: Allocator, text: &str, expected: Result<(&str, &str), &str>) {
        match (parse(allocator, text), expected) {
            (Ok(one), Ok((key, value))) => assert_eq!((one.setting.key, one.value.as_str()), (key, value)),
            (Err(error), Err(words)) => {
                let shown = format!("{error}; {}", error.hint());
                assert!(shown.contains(words), "{shown}");
            }
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn settings_are_found_by_every_name_they_have() {
        use Allocator::{Glibc, Jemalloc, Mimalloc, Slackwater, Tcmalloc};
        check(Jemalloc, "dirty_decay_ms=5s", Ok(("dirty_decay_ms", "5000")));
        check(Jemalloc, "background_thread:true", Ok(("background_thread", "true")));
        check(Slackwater, "governor=off", Ok(("governor", "off")));
        check(Slackwater, "SLACKWATER_GOVERNOR=off", Ok(("governor", "off")));
        check(Glibc, "MALLOC_ARENA_MAX=2", Ok(("arena_max", "2")));
        check(Glibc, "glibc.malloc.arena_max=2", Ok(("arena_max", "2")));
        check(Mimalloc, "purge_delay=0", Ok(("purge_delay", "0")));
        check(Tcmalloc, "release_rate=5", Ok(("release_rate", "5")));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        use Allocator::{Glibc, Jemalloc, Slackwater};
        check(Jemalloc, "dirty_decay=5000", Err("did you mean dirty_decay_ms?"));
        check(Jemalloc, "dirty_decay_ms=soon", Err("dirty_decay_ms is a time"));
        check(Jemalloc, "narenas=0", Err("a whole number above zero"));
        check(Jemalloc, "thp=sometimes", Err("one of default, always, never"));
        check(Jemalloc, "purge_delay=0", Err("mimalloc has; choose it with --allocator mimalloc"));
        check(Jemalloc, "colour=red", Err("the usual ones are narenas"));
        check(Jemalloc, "narenas", Err("KEY=VALUE"));
        check(Jemalloc, "=1", Err("KEY=VALUE"));
        check(Glibc, "MALLOC_ARENAS_MAX=2", Err("did you mean MALLOC_ARENA_MAX?"));
        check(Glibc, "arena_max=0", Err("1 or more"));
        check(Slackwater, "prof=on", Err("jemalloc has"));
    }

    #[test]
    fn the_tables_name_each_setting_once_and_say_what_it_means() {
        for &allocator in Allocator::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for setting in settings(allocator) {
                assert!(seen.insert(setting.key), "{allocator} has {} twice", setting.key);
                assert!(!setting.about.is_empty() && !setting.about.ends_with('.'), "{}", setting.key);
                assert_eq!(nearest(allocator, setting.key), Some(setting.key));
            }
        }
    }
}
