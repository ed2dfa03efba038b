//! The settings of the malloc that serves: read from its own data where we can, else as they were asked
//! for.
//!
//! Invariant: a value that is only asked for is never said to be in force.

use std::path::Path;

use slackwater_base::Gap;
use slackwater_heap::jemalloc::{GovernorState, Reason, Snapshot};
use slackwater_heap::{GlibcSettings, GlibcVersion};
use slackwater_memory::{FileId, Memory, Symbols};
use slackwater_procfs::Process;

use super::environment::Environment;
use super::{Governor, Origin, Setting};
use crate::MallocKind;

/// The variable that a jemalloc reads: it bears the prefix of its functions.
pub(crate) const CONF_VARIABLES: [(&str, &str); 3] =
    [("mallctl", "MALLOC_CONF"), ("_rjem_mallctl", "_RJEM_MALLOC_CONF"), ("je_mallctl", "JE_MALLOC_CONF")];

/// Decisions of the governor whose reasons are shown.
const LAST_REASONS: usize = 3;

/// The variable that the jemalloc in `file` reads.
pub(crate) fn conf_variable(symbols: &dyn Symbols, file: FileId) -> &'static str {
    let known = |&(function, _): &(&str, &str)| symbols.symbol(file, function).is_some();
    CONF_VARIABLES.into_iter().find(known).map_or("MALLOC_CONF", |(_, variable)| variable)
}

/// The `key:value` pairs of a jemalloc's configuration, in order. Words of another form are left out;
/// jemalloc says so itself.
pub(crate) fn parse_conf(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|option| option.trim().split_once(':'))
}

/// What jemalloc is asked for: by the link that it reads as a file, then by its variable, which wins.
pub(crate) fn of_jemalloc(process: &Process, environment: &Environment, variable: &str) -> Vec<Setting> {
    let link = process.link_named(Path::new("/etc/malloc.conf")).ok().flatten();
    let link = link.filter(|_| variable == "MALLOC_CONF");
    let link = link.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
    let of_link = parse_conf(&link).map(|pair| setting(pair, Origin::System));
    let asked = environment.get(variable).unwrap_or_default();
    of_link.chain(parse_conf(asked).map(|pair| setting(pair, Origin::Environment))).collect()
}

fn setting((key, value): (&str, &str), origin: Origin) -> Setting {
    Setting { key: key.to_owned(), value: value.to_owned(), origin }
}

/// What glibc works by at this moment.
pub(crate) fn of_glibc(
    memory: &dyn Memory,
    release: &mut Option<GlibcVersion>,
    gaps: &mut Vec<Gap>,
) -> Vec<Setting> {
    match slackwater_heap::glibc::settings(memory) {
        Ok(Some((version, settings))) => {
            *release = Some(version);
            from_params(&settings)
        }
        Ok(None) => Vec::new(),
        Err(error) => {
            gaps.push(Gap::new("glibc's settings", error.to_string()));
            Vec::new()
        }
    }
}

fn from_params(settings: &GlibcSettings) -> Vec<Setting> {
    let setting = |key: &str, value: String| Setting { key: key.to_owned(), value, origin: Origin::InForce };
    let arena_max = match settings.arena_max {
        0 => "unset".to_owned(),
        most => most.to_string(),
    };
    vec![
        setting("arena_max", arena_max),
        setting("trim_threshold", settings.trim_threshold.to_string()),
        setting("mmap_threshold", settings.mmap_threshold.to_string()),
        setting("dynamic_thresholds", settings.dynamic.to_string()),
    ]
}

/// What our library says of itself: what is in force, and every option that its user gave.
pub(crate) fn of_slackwater(block: &Snapshot, environment: &Environment) -> Vec<Setting> {
    let settings = &block.settings;
    let in_force = |key: &str, value: String| setting((key, &value), Origin::InForce);
    let mut all = vec![
        in_force("narenas", settings.n_arenas.to_string()),
        in_force("dirty_decay_ms", settings.dirty_decay_ms.to_string()),
        in_force("muzzy_decay_ms", settings.muzzy_decay_ms.to_string()),
        in_force("tcache_max", settings.thread_cache_max_bytes.to_string()),
        in_force("background_thread", settings.background_threads.to_string()),
    ];
    // Of the options, later ones win, and those above are known better.
    let options = settings.options().to_string();
    for (key, value) in parse_conf(&options) {
        if all.iter().any(|one| one.origin == Origin::InForce && one.key == key) {
            continue;
        }
        all.retain(|one| one.key != key);
        all.push(setting((key, value), Origin::Told));
    }
    let own = of_variables(environment, "SLACKWATER_").into_iter();
    all.extend(own.filter(|one| !NO_SETTINGS.contains(&one.key.as_str())));
    all
}

/// Variables that are for whoever starts the service, for the agent or for `lab`, not for the allocator.
const NO_SETTINGS: [&str; 4] =
    ["SLACKWATER_LIBRARY", "SLACKWATER_AGENT", "SLACKWATER_RECORD", "SLACKWATER_LAB_KEEPER"];

/// The governor, as the block of process `pid` (in its innermost namespace) shows it.
pub(crate) fn governor(block: &Snapshot, pid: Option<i32>) -> Governor {
    let governor = &block.governor;
    let reasons = governor.decisions().rev().filter_map(|choice| choice.reason);
    Governor {
        state: governor.state.map(GovernorState::key),
        is_own: pid.is_some_and(|pid| u32::try_from(pid) == Ok(block.pid)),
        n_ticks: governor.n_ticks,
        n_decisions: governor.n_decisions,
        purged_bytes: governor.purged_bytes,
        cpu_ns: governor.cpu_ns,
        last: reasons.take(LAST_REASONS).map(Reason::key).collect(),
    }
}

/// The variables that begin with `prefix`, for allocators that take one for each option.
pub(crate) fn of_variables(environment: &Environment, prefix: &str) -> Vec<Setting> {
    let own = environment.variables.iter().filter(|(name, _)| name.starts_with(prefix));
    own.map(|(name, value)| setting((name, value), Origin::Environment)).collect()
}

/// What was asked for in the environment and speaks to `kind`: the variable it stands in, the setting
/// and its value.
pub(crate) fn asked_of(kind: MallocKind, environment: &Environment) -> Vec<(&str, &str, &str)> {
    let mut asked = Vec::new();
    for (name, value) in &environment.variables {
        match (kind, name.as_str()) {
            (MallocKind::Jemalloc | MallocKind::Slackwater, "MALLOC_CONF") => {
                asked.extend(parse_conf(value).map(|(key, value)| (name.as_str(), key, value)));
            }
            (MallocKind::Glibc, "GLIBC_TUNABLES") => {
                let tunables = value.split(':').filter_map(|one| one.split_once('='));
                let of_malloc = tunables.filter(|(key, _)| key.starts_with("glibc.malloc."));
                asked.extend(of_malloc.map(|(key, value)| (name.as_str(), key, value)));
            }
            (MallocKind::Glibc, "MALLOC_CONF") => {}
            (MallocKind::Glibc, variable) if variable.starts_with("MALLOC_") => {
                asked.push((name, name, value));
            }
            (MallocKind::Mimalloc, variable) if variable.starts_with("MIMALLOC_") => {
                asked.push((name, name, value));
            }
            (MallocKind::Tcmalloc, variable) if variable.starts_with("TCMALLOC_") => {
                asked.push((name, name, value));
            }
            (MallocKind::Slackwater, variable) if NO_SETTINGS.contains(&variable) => {}
            (MallocKind::Slackwater, variable) if variable.starts_with("SLACKWATER_") => {
                asked.push((name, name, value));
            }
            _ => {}
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_speaks_to_one_allocator() {
        let pairs = [
            ("MALLOC_CONF", "narenas:1,dirty_decay_ms:0, bad"),
            ("MALLOC_ARENAS_MAX", "2"),
            ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.pthread.rseq=0"),
            ("MIMALLOC_PURGE_DELAY", "0"),
            ("TCMALLOC_RELEASE_RATE", "5"),
            ("SLACKWATER_GOVERNOR", "off"),
            ("SLACKWATER_LIBRARY", "/x.so"),
        ];
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let environment = Environment { variables, visible: true };
        let check = |kind: MallocKind, expected: &[&str]| {
            let keys: Vec<&str> = asked_of(kind, &environment).iter().map(|(_, key, _)| *key).collect();
            assert_eq!(keys, expected, "{kind}");
        };
        check(MallocKind::Jemalloc, &["narenas", "dirty_decay_ms"]);
        check(MallocKind::Glibc, &["MALLOC_ARENAS_MAX", "glibc.malloc.arena_max"]);
        check(MallocKind::Mimalloc, &["MIMALLOC_PURGE_DELAY"]);
        check(MallocKind::Tcmalloc, &["TCMALLOC_RELEASE_RATE"]);
        check(MallocKind::Slackwater, &["narenas", "dirty_decay_ms", "SLACKWATER_GOVERNOR"]);
        check(MallocKind::Musl, &[]);
    }
}
