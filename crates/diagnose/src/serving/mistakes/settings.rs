//! SW220 to SW223: settings that are written down and not in force.

use slackwater_tune::Allocator;
use slackwater_tune::settings::{self as known, SettingError};

use super::{Case, Mistake};
use crate::MallocKind;
use crate::serving::settings::{CONF_VARIABLES, asked_of};
use crate::serving::{Fate, MistakeCode};

pub(super) fn prefixed(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let reads = process.conf_variable;
    if process.server.kind != MallocKind::Jemalloc {
        return Vec::new();
    }
    let others = CONF_VARIABLES.into_iter().map(|(_, name)| name).filter(|name| *name != reads);
    let set = others.filter_map(|name| Some((name, process.environment.get(name)?)));
    set.map(|(name, value)| {
        Mistake::new(
            MistakeCode::PrefixedSettings,
            format!("{name} is set, and the jemalloc that serves reads {reads}"),
            format!("{reads}={value}"),
        )
    })
    .collect()
}

pub(super) fn idle(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let serves = process.server.kind;
    if serves == MallocKind::Unknown {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    for kind in Allocator::ALL.iter().copied().map(MallocKind::from) {
        // Both of these read MALLOC_CONF; told once.
        let is_read = kind == serves || (kind, serves) == (MallocKind::Jemalloc, MallocKind::Slackwater);
        // Why its allocator does not serve is told of by the preload that failed.
        let failed =
            process.preloads.iter().any(|one| one.allocator == Some(kind) && one.fate != Fate::Mapped);
        if is_read || failed {
            continue;
        }
        let mut variables: Vec<&str> = asked_of(kind, &process.environment)
            .into_iter()
            .map(|(variable, ..)| variable)
            .filter(|variable| kind != MallocKind::Slackwater || variable.starts_with("SLACKWATER_"))
            // A wrong name is told of as such where its allocator serves, and here counts as what it is like.
            .collect();
        variables.dedup();
        let Some(first) = variables.first() else { continue };
        let fix = match kind {
            MallocKind::Glibc => {
                format!("unset {}; what {serves} takes: slackwater run --set help", variables.join(" "))
            }
            MallocKind::Slackwater => "slackwater run -- COMMAND, or unset it".to_owned(),
            _ => format!("preload {kind}, or unset {}", variables.join(" ")),
        };
        let seen = format!("{first} is set, and {serves} serves malloc");
        mistakes.push(Mistake::new(MistakeCode::IdleSettings, seen, fix));
    }
    mistakes
}

pub(super) fn wrong(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let serves = process.server.kind;
    let Some(allocator) = serves.allocator() else { return Vec::new() };
    // Releases before 5 had other options.
    let library = process.server.library.as_ref().and_then(|path| path.file_name());
    if library.is_some_and(|name| name.to_string_lossy().starts_with("libjemalloc.so.1")) {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    for (variable, key, value) in asked_of(serves, &process.environment) {
        mistakes.extend(judge(allocator, variable, key, value));
        mistakes.extend(too_old(case, allocator, key));
    }
    if process.refused_options > 0 {
        let seen = format!("jemalloc refused {} of its options at start", process.refused_options);
        let fix = "the service's standard error says which; slackwater run --set help lists what there is";
        mistakes.push(Mistake::new(MistakeCode::RefusedSetting, seen, fix));
    }
    mistakes
}

fn judge(allocator: Allocator, variable: &str, key: &str, value: &str) -> Option<Mistake> {
    let named =
        if variable == key { format!("{key}={value}") } else { format!("{key}:{value} in {variable}") };
    match known::assign(allocator, key, value) {
        // What we understand, and it does not: units, `on` for `true`. Numbers may have any base.
        Ok(one) if is_literal(allocator) && !value.starts_with("0x") && one.value != value.trim() => {
            let fix = format!("{key} must be written {}", one.value);
            Some(Mistake::new(
                MistakeCode::RefusedSetting,
                format!("{named} is not as {allocator} reads it"),
                fix,
            ))
        }
        Ok(_) => None,
        Err(SettingError::Value { allowed, .. }) if is_literal(allocator) && !value.starts_with("0x") => {
            let fix = format!("{key} is {allowed}");
            Some(Mistake::new(MistakeCode::RefusedSetting, format!("{named} is no value that it takes"), fix))
        }
        Err(error @ SettingError::Unknown { nearest, .. }) => {
            // A variable that merely begins alike may belong to the program.
            if variable == key && nearest.is_none() {
                return None;
            }
            let fix = nearest.map_or_else(
                || format!("unset it: {error}"),
                |nearest| corrected(variable, key, nearest, value),
            );
            Some(Mistake::new(MistakeCode::UnknownSetting, format!("{named}: {error}"), fix))
        }
        Err(_) => None,
    }
}

/// Whether the allocator takes a value only as it is written in its manual.
const fn is_literal(allocator: Allocator) -> bool {
    matches!(allocator, Allocator::Jemalloc | Allocator::Slackwater | Allocator::Glibc)
}

/// The line that was meant.
fn corrected(variable: &str, key: &str, nearest: &str, value: &str) -> String {
    if variable != key {
        let nearest = if key.starts_with("glibc.malloc.") {
            format!("glibc.malloc.{nearest}")
        } else {
            nearest.to_owned()
        };
        return format!("{nearest} instead of {key}, in {variable}");
    }
    // The table's own name of a setting, or that of its variable.
    let proper = Allocator::ALL.iter().find_map(|&allocator| known::find(allocator, nearest)?.variable());
    format!("{}={value}", proper.unwrap_or(nearest))
}

/// A tunable that came with a later glibc.
fn too_old(case: &Case<'_>, allocator: Allocator, key: &str) -> Option<Mistake> {
    let (version, setting) = (case.process.glibc?, known::find(allocator, key)?);
    let since = setting.since.filter(|_| allocator == Allocator::Glibc)?;
    let (major, minor) = since.split_once('.')?;
    let since_pair: (u16, u16) = (major.parse().ok()?, minor.parse().ok()?);
    ((version.major, version.minor) < since_pair).then(|| {
        Mistake::new(
            MistakeCode::UnknownSetting,
            format!("{key} came with glibc {since}, and this is {version}"),
            format!("unset it, or move to glibc {since}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use slackwater_heap::GlibcVersion;

    use super::super::testing::{codes, preload, serving, with};
    use super::*;

    #[track_caller]
    fn fixes(kind: MallocKind, name: &str, value: &str, expected: &[(&str, &str)]) {
        let process = with(serving(kind), name, value);
        let found = wrong(&Case { process: &process, supervisor: None });
        let found: Vec<(&str, &str)> = found.iter().map(|one| (one.code.key(), one.fix.as_str())).collect();
        assert_eq!(found, expected, "{name}={value} under {kind}");
    }

    #[test]
    fn slips_are_told_with_what_was_meant() {
        use MallocKind::{Glibc, Jemalloc, Mimalloc, Slackwater};
        fixes(Glibc, "MALLOC_ARENA_MAX", "2", &[]);
        fixes(Glibc, "MALLOC_ARENAS_MAX", "2", &[("SW221", "MALLOC_ARENA_MAX=2")]);
        fixes(Glibc, "MALLOC_TRIM_THRESHOLD", "131072", &[("SW221", "MALLOC_TRIM_THRESHOLD_=131072")]);
        fixes(
            Glibc,
            "MALLOC_TRIM_THRESHOLD_",
            "128KiB",
            &[("SW222", "MALLOC_TRIM_THRESHOLD_ must be written 131072")],
        );
        fixes(Glibc, "MALLOC_TRIM_THRESHOLD_", "0x20000", &[]);
        fixes(Glibc, "GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.rtld.nns=4", &[]);
        fixes(
            Glibc,
            "GLIBC_TUNABLES",
            "glibc.malloc.arenas_max=1",
            &[("SW221", "glibc.malloc.arena_max instead of glibc.malloc.arenas_max, in GLIBC_TUNABLES")],
        );
        fixes(Jemalloc, "MALLOC_CONF", "narenas:1,dirty_decay_ms:0,background_thread:true", &[]);
        fixes(
            Jemalloc,
            "MALLOC_CONF",
            "dirty_decay:1",
            &[("SW221", "dirty_decay_ms instead of dirty_decay, in MALLOC_CONF")],
        );
        fixes(
            Jemalloc,
            "MALLOC_CONF",
            "dirty_decay_ms:5s",
            &[("SW222", "dirty_decay_ms must be written 5000")],
        );
        fixes(
            Slackwater,
            "MALLOC_CONF",
            "background_thread:1",
            &[("SW222", "background_thread must be written true")],
        );
        fixes(Slackwater, "SLACKWATER_GOVERNER", "off", &[("SW221", "SLACKWATER_GOVERNOR=off")]);
        fixes(Mimalloc, "MIMALLOC_PURGE_DELAYS", "0", &[("SW221", "MIMALLOC_PURGE_DELAY=0")]);
        // A program's own variable, or no slip of anything.
        fixes(Glibc, "MALLOC_COLOUR_OF_THE_SHED", "red", &[]);
    }

    #[test]
    fn a_tunable_that_is_younger_than_the_library() {
        let mut process = with(serving(MallocKind::Glibc), "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        assert!(codes(&process, wrong).is_empty());
        process.glibc = Some(GlibcVersion { major: 2, minor: 31 });
        assert_eq!(codes(&process, wrong), ["SW221"]);
        process.glibc = Some(GlibcVersion { major: 2, minor: 36 });
        assert!(codes(&process, wrong).is_empty());
    }

    #[test]
    fn settings_for_somebody_else() {
        use MallocKind::{Glibc, Jemalloc, Slackwater, Unknown};
        let check = |kind: MallocKind, name: &str, expected: &[&str]| {
            assert_eq!(codes(&with(serving(kind), name, "narenas:1"), idle), expected, "{name} under {kind}");
        };
        check(Glibc, "MALLOC_CONF", &["SW220"]);
        check(Jemalloc, "MALLOC_CONF", &[]);
        check(Slackwater, "MALLOC_CONF", &[]);
        check(Unknown, "MALLOC_CONF", &[]);
        check(Jemalloc, "MALLOC_ARENA_MAX", &["SW220"]);
        check(Glibc, "MALLOC_ARENA_MAX", &[]);
        check(Glibc, "MIMALLOC_PURGE_DELAY", &["SW220"]);
        check(Glibc, "SLACKWATER_GOVERNOR", &["SW220"]);
        // That jemalloc does not serve although it was to be preloaded is told of elsewhere.
        let mut failed = with(serving(Glibc), "MALLOC_CONF", "narenas:1");
        failed.preloads.push(preload("/no/libjemalloc.so.2", Some(Jemalloc), Fate::Missing));
        assert!(codes(&failed, idle).is_empty());
    }

    #[test]
    fn a_build_with_a_prefix_reads_another_variable() {
        let mut process = with(serving(MallocKind::Jemalloc), "MALLOC_CONF", "narenas:1");
        assert!(codes(&process, prefixed).is_empty());
        process.conf_variable = "_RJEM_MALLOC_CONF";
        assert_eq!(codes(&process, prefixed), ["SW223"]);
    }
}
