//! Lines that a person can paste.
//!
//! Invariant: a name that came from the target stands in a command only if a shell takes it for one
//! plain word; otherwise the pid does.

use slackwater_base::Bytes;

use crate::service::Service;
use crate::{Advice, When};

/// How commands name the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// `--name gunicorn`, `--pid 4711`.
    selector: String,
}

impl Target {
    pub(crate) fn of(service: &Service) -> Self {
        let root = service.root();
        // An interpreter's name fits every script of the host.
        let named = is_plain(&service.name) && root.command.runs_a_program();
        let selector = if named { format!("--name {}", service.name) } else { format!("--pid {}", root.pid) };
        Self { selector }
    }

    /// `slackwater VERB --name SERVICE`.
    pub(crate) fn verb(&self, verb: &str) -> String {
        format!("slackwater {verb} {}", self.selector)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-' | '+'))
}

fn advice(when: When, command: impl Into<String>, effect: impl Into<String>) -> Advice {
    Advice { when, command: command.into(), effect: effect.into() }
}

/// Give back what a trim returns.
pub(crate) fn trim(target: &Target, bytes: u64) -> Advice {
    advice(When::Now, target.verb("trim"), format!("gives back about {}, no restart", Bytes(bytes)))
}

/// Give back the tops of secondary arenas as well.
pub(crate) fn trim_deep(target: &Target, bytes: u64) -> Advice {
    let effect = format!("gives back about {} at the ends of arenas, no restart", Bytes(bytes));
    advice(When::Now, format!("{} --deep", target.verb("trim")), effect)
}

/// The same again and again, for as long as the service runs.
pub(crate) fn keep_trimming(target: &Target) -> Advice {
    let command = format!("{} --every 60s --above 100M", target.verb("trim"));
    advice(When::Now, command, "keeps it down, until interrupted")
}

/// jemalloc with the settings that lower the peak without its background threads, which do not
/// survive a fork.
const JEMALLOC: &str =
    "LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0";

/// Another allocator.
pub(crate) fn jemalloc() -> Advice {
    let effect = "in the service's environment (Debian's libjemalloc2): hands pages back while requests come";
    advice(When::ForGood, JEMALLOC, effect)
}

/// Another allocator, for Python's small objects too.
pub(crate) fn jemalloc_for_objects() -> Advice {
    let effect =
        "jemalloc too, and small objects leave pymalloc's arenas; costs CPU where allocation dominates";
    advice(When::ForGood, format!("PYTHONMALLOC=malloc {JEMALLOC}"), effect)
}

/// Watch the service.
pub(crate) fn watch(target: &Target, effect: &str) -> Advice {
    advice(When::LookCloser, format!("{} --for 60s", target.verb("diagnose")), effect)
}

/// What finds the line of code, which a look from outside cannot.
pub(crate) fn record() -> Advice {
    note("tracemalloc or memray inside the service name the lines of code that hold what grows")
}

/// Which right is missing.
pub(crate) fn doctor(target: &Target) -> Advice {
    advice(When::LookCloser, target.verb("doctor"), "names what could not be read, and the fix")
}

/// Ask an allocator whose books cannot be read.
pub(crate) fn purge(target: &Target) -> Advice {
    advice(When::LookCloser, target.verb("trim"), "asks the allocator to purge: what comes back was slack")
}

/// An environment variable for the service's next start.
pub(crate) fn setting(setting: &str, effect: &str) -> Advice {
    advice(When::ForGood, setting, effect)
}

/// Something to know.
pub(crate) fn note(effect: impl Into<String>) -> Advice {
    advice(When::Note, "", effect)
}
