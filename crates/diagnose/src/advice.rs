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
    /// How it is started: `gunicorn app:app`.
    start: String,
}

impl Target {
    pub(crate) fn of(service: &Service) -> Self {
        let root = service.root();
        // An interpreter's name fits every script of the host.
        let named = is_plain(&service.name) && root.command.runs_a_program();
        let selector = if named { format!("--name {}", service.name) } else { format!("--pid {}", root.pid) };
        let program = if service.name.ends_with(".py") {
            format!("python {}", service.name)
        } else {
            service.name.clone()
        };
        let start = match &service.app {
            Some(app) if is_plain(app) && named && service.name == "celery" => {
                format!("celery -A {app} worker")
            }
            Some(app) if is_plain(app) && named => format!("{program} {app}"),
            _ if named => program,
            _ => "COMMAND".to_owned(),
        };
        Self { selector, start }
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

/// The tuned allocator.
pub(crate) fn run(target: &Target) -> Advice {
    let command = format!("slackwater run -- {}", target.start);
    advice(When::ForGood, command, "tuned allocator, settings in `slackwater advise`")
}

/// The tuned allocator for Python's small objects too.
pub(crate) fn run_all(target: &Target) -> Advice {
    let command = format!("PYTHONMALLOC=malloc slackwater run -- {}", target.start);
    let effect = "small objects leave pymalloc's arenas too; costs CPU where allocation dominates";
    advice(When::ForGood, command, effect)
}

/// Measure before believing.
pub(crate) fn lab() -> Advice {
    advice(When::Prove, "slackwater lab init", "load-test before and after")
}

/// Watch the service.
pub(crate) fn watch(target: &Target, effect: &str) -> Advice {
    advice(When::LookCloser, format!("{} --for 60s", target.verb("diagnose")), effect)
}

/// Record who allocates.
pub(crate) fn record(target: &Target) -> Advice {
    advice(When::LookCloser, target.verb("record"), "names the lines of code that hold what grows")
}

/// Which right is missing.
pub(crate) fn doctor(target: &Target) -> Advice {
    advice(When::LookCloser, target.verb("doctor"), "names what could not be read, and the fix")
}

/// An allocator that is not glibc's.
pub(crate) fn verify(target: &Target) -> Advice {
    let effect = "asks the allocator itself: which settings are in force, does it purge";
    advice(When::LookCloser, format!("{} --enter", target.verb("verify")), effect)
}

/// An environment variable for the service's next start.
pub(crate) fn setting(setting: &str, effect: &str) -> Advice {
    advice(When::ForGood, setting, effect)
}

/// Something to know.
pub(crate) fn note(effect: impl Into<String>) -> Advice {
    advice(When::Note, "", effect)
}
