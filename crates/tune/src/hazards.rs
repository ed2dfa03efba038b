//! What around a service may keep an allocator from doing its work: said before the start, not refused.
//!
//! Invariant: facts come in as values; each hazard names its fact and what to do about it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use slackwater_base::Bytes;

use crate::Allocator;
use crate::environment::{GLIBC_TUNABLES, conf_keys};
use crate::settings::{self, Assignment, Home};

/// What is known about the machine and the process that becomes the service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// `vm.overcommit_memory` is 2: address space counts against a limit.
    pub overcommits_strictly: bool,
    /// The limit of the address space (`ulimit -v`), if there is one.
    pub address_space_limit: Option<Bytes>,
    /// Transparent huge pages are `always`.
    pub huge_pages_always: bool,
}

/// Whether the text of /sys/kernel/mm/transparent_hugepage/enabled has `always` in force, which stands in
/// brackets.
pub fn huge_pages_always(enabled: &str) -> bool {
    enabled.contains("[always]")
}

/// Something that may keep the allocator from doing its work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Hazard {
    /// Address space counts, and allocators take it in large pieces.
    #[error("vm.overcommit_memory is 2: address space that the allocator only reserves counts as used")]
    StrictOvercommit,
    /// As above, for this process only.
    #[error("the address space is limited to {limit} (ulimit -v): reserves of the allocator count as used")]
    AddressSpaceLimit {
        /// The limit.
        limit: Bytes,
    },
    /// The kernel fills holes again.
    #[error("transparent huge pages are 'always': the kernel fills pages again that {0} gave back")]
    HugePages(Allocator),
    /// The command gives its child an environment of its own.
    #[error("{command} starts its command with a clean environment, without LD_PRELOAD")]
    CleanEnvironment {
        /// The command.
        command: String,
    },
    /// A variable of the environment is for another allocator.
    #[error("{variable} has no effect: it is for {meant}, and {serving} serves")]
    Idle {
        /// The variable.
        variable: String,
        /// The allocator that it is for.
        meant: Allocator,
        /// The allocator that serves.
        serving: Allocator,
    },
    /// An option in the environment does not exist.
    #[error("MALLOC_CONF has '{key}', which {serving} does not know")]
    UnknownOption {
        /// The option.
        key: String,
        /// The allocator that serves.
        serving: Allocator,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A setting that older versions lack.
    #[error("{key} needs {allocator} {since} or newer; older ones ignore it")]
    Newer {
        /// The setting.
        key: &'static str,
        /// The allocator.
        allocator: Allocator,
        /// The first version that has it.
        since: &'static str,
    },
    /// What gives memory back while idle does not survive a fork.
    #[error("jemalloc loses its background threads at fork: forked workers give nothing back while idle")]
    ThreadsLostAtFork,
}

impl Hazard {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::StrictOvercommit => "set vm.overcommit_memory to 0 or 1, or allow for it in the limit".to_owned(),
            Self::AddressSpaceLimit { .. } => "limit memory by a control group instead".to_owned(),
            Self::HugePages(Allocator::Slackwater | Allocator::Jemalloc) => "--set thp=never".to_owned(),
            Self::HugePages(_) => {
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)".to_owned()
            }
            Self::CleanEnvironment { command } => {
                format!("put slackwater run behind it: {command} ... slackwater run -- COMMAND")
            }
            Self::Idle { meant, .. } => format!("unset it, or choose --allocator {meant}"),
            Self::UnknownOption { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::UnknownOption { .. } => "--set help lists what there is".to_owned(),
            Self::Newer { .. } => "see which version your distribution ships".to_owned(),
            Self::ThreadsLostAtFork => {
                "use --allocator slackwater, or the hook that `slackwater advise gunicorn --allocator jemalloc` prints"
                    .to_owned()
            }
        }
    }
}

/// The hazards of starting `command` on `allocator`.
pub fn hazards(
    allocator: Allocator,
    assignments: &[Assignment],
    command: &[OsString],
    present: &dyn Fn(&str) -> Option<OsString>,
    surroundings: &Surroundings,
) -> Vec<Hazard> {
    let mut found = Vec::new();
    if allocator != Allocator::Glibc {
        if surroundings.overcommits_strictly {
            found.push(Hazard::StrictOvercommit);
        }
        if let Some(limit) = surroundings.address_space_limit {
            found.push(Hazard::AddressSpaceLimit { limit });
        }
        found.extend(cleans_environment(command).map(|command| Hazard::CleanEnvironment { command }));
    }
    let is_set = |key: &str| {
        assignments.iter().any(|one| one.setting.key == key)
            || present("MALLOC_CONF").is_some_and(|conf| conf_keys(&conf).iter().any(|found| found == key))
    };
    // Ours sees to it itself.
    if surroundings.huge_pages_always && allocator != Allocator::Slackwater && !is_set("thp") {
        found.push(Hazard::HugePages(allocator));
    }
    found.extend(idle_variables(allocator, present));
    if matches!(allocator, Allocator::Slackwater | Allocator::Jemalloc) {
        found.extend(unknown_options(allocator, present));
    }
    for assignment in assignments {
        // Our own jemalloc is the newest, and old glibcs are found by their release.
        if let Some(since) = assignment.setting.since
            && allocator != Allocator::Slackwater
        {
            found.push(Hazard::Newer { key: assignment.setting.key, allocator, since });
        }
    }
    if allocator == Allocator::Jemalloc {
        found.push(Hazard::ThreadsLostAtFork);
    }
    found
}

/// The command, when it is one that starts others with a clean environment.
fn cleans_environment(command: &[OsString]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    let has = |flags: &[&str]| arguments.iter().any(|word| flags.iter().any(|flag| word == flag));
    let cleans = match name {
        "sudo" | "doas" | "docker" | "podman" | "systemd-run" | "ssh" | "kubectl" | "pkexec" => true,
        "su" | "runuser" => has(&["-", "-l", "--login"]),
        "env" => has(&["-i", "-", "--ignore-environment"]),
        "setpriv" => has(&["--reset-env"]),
        _ => false,
    };
    cleans.then(|| name.to_owned())
}

/// Variables of the environment that only another allocator reads.
fn idle_variables<'a>(
    serving: Allocator,
    present: &'a dyn Fn(&str) -> Option<OsString>,
) -> impl Iterator<Item = Hazard> + 'a {
    let set = |variable: &str| present(variable).is_some_and(|value| !value.is_empty());
    let reads_conf = |allocator| matches!(allocator, Allocator::Slackwater | Allocator::Jemalloc);
    let mut idle = Vec::new();
    if !reads_conf(serving) && set("MALLOC_CONF") {
        idle.push(("MALLOC_CONF".to_owned(), Allocator::Jemalloc));
    }
    if serving != Allocator::Glibc {
        let tunables = present(GLIBC_TUNABLES);
        if tunables.is_some_and(|list| list.to_string_lossy().contains("glibc.malloc.")) {
            idle.push((GLIBC_TUNABLES.to_owned(), Allocator::Glibc));
        }
    }
    for &other in &[Allocator::Glibc, Allocator::Mimalloc, Allocator::Tcmalloc] {
        if other != serving {
            let variables = settings::settings(other).filter_map(settings::Setting::variable);
            idle.extend(variables.filter(|variable| set(variable)).map(|found| (found.to_owned(), other)));
        }
    }
    idle.into_iter().map(move |(variable, meant)| Hazard::Idle { variable, meant, serving })
}

/// Options in `MALLOC_CONF` that do not exist.
fn unknown_options<'a>(
    serving: Allocator,
    present: &'a dyn Fn(&str) -> Option<OsString>,
) -> impl Iterator<Item = Hazard> + 'a {
    let keys = present("MALLOC_CONF").map(|conf| conf_keys(OsStr::new(&conf))).unwrap_or_default();
    let known =
        move |key: &String| settings::find(serving, key).is_some_and(|setting| setting.home == Home::Conf);
    keys.into_iter().filter(move |key| !known(key)).map(move |key| {
        let nearest = settings::nearest(serving, &key);
        Hazard::UnknownOption { key, serving, nearest }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        allocator: Allocator,
        command: &str,
        environment: &[(&str, &str)],
        surroundings: &Surroundings,
        expected: &[&str],
    ) {
        let command: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        let present =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let shown: Vec<String> = hazards(allocator, &[], &command, &present, surroundings)
            .iter()
            .map(|hazard| format!("{hazard}; {}", hazard.hint()))
            .collect();
        assert_eq!(shown.len(), expected.len(), "{shown:#?}");
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.contains(expected), "{shown} lacks {expected}");
        }
    }

    #[test]
    fn the_bracketed_word_is_in_force() {
        assert!(huge_pages_always("[always] madvise never\n"));
        assert!(!huge_pages_always("always [madvise] never\n"));
        assert!(!huge_pages_always(""));
    }

    #[test]
    fn an_ordinary_start_has_none() {
        let calm = Surroundings::default();
        check(Allocator::Slackwater, "gunicorn app:app", &[], &calm, &[]);
        check(Allocator::Slackwater, "env A=1 gunicorn", &[("MALLOC_CONF", "thp:never")], &calm, &[]);
        check(Allocator::Glibc, "sudo gunicorn", &[("MALLOC_ARENA_MAX", "2")], &calm, &[]);
    }

    #[test]
    fn each_hazard_is_named_with_what_to_do() {
        let calm = Surroundings::default();
        let check_command = |command, expected: &[&str]| {
            check(Allocator::Slackwater, command, &[], &calm, expected);
        };
        check_command("/usr/bin/sudo -u www gunicorn", &["sudo ... slackwater run"]);
        check_command("env -i gunicorn", &["clean environment"]);
        check_command("su www -c gunicorn", &[]);
        check_command("su - www -c gunicorn", &["su starts"]);
        let rough = Surroundings {
            overcommits_strictly: true,
            address_space_limit: Some(Bytes(1_000_000_000)),
            huge_pages_always: true,
        };
        check(Allocator::Slackwater, "x", &[], &rough, &["overcommit_memory", "limited to 1.0 GB"]);
        check(Allocator::Jemalloc, "x", &[], &rough, &["overcommit", "1.0 GB", "--set thp=never", "at fork"]);
        check(Allocator::Glibc, "x", &[], &rough, &["sys/kernel/mm"]);
    }

    #[test]
    fn variables_that_do_nothing_are_found() {
        let calm = Surroundings::default();
        let environment = [
            ("MALLOC_ARENA_MAX", "2"),
            ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1"),
            ("MALLOC_CONF", "dirty_decay:5,narenas:1"),
            ("MIMALLOC_PURGE_DELAY", "0"),
        ];
        check(
            Allocator::Slackwater,
            "x",
            &environment,
            &calm,
            &[
                "GLIBC_TUNABLES has no effect: it is for glibc",
                "MALLOC_ARENA_MAX has no effect",
                "MIMALLOC_PURGE_DELAY has no effect: it is for mimalloc, and slackwater serves",
                "did you mean dirty_decay_ms?",
            ],
        );
        check(
            Allocator::Glibc,
            "x",
            &environment,
            &calm,
            &["MALLOC_CONF has no effect: it is for jemalloc", "MIMALLOC_PURGE_DELAY"],
        );
    }
}
