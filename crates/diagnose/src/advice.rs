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
    /// What it runs, without the values of its other arguments.
    command: String,
}

impl Target {
    pub(crate) fn of(service: &Service) -> Self {
        let root = service.root();
        // An interpreter's name fits every script of the host.
        let named = is_plain(&service.name) && root.command.runs_a_program();
        let selector = if named { format!("--name {}", service.name) } else { format!("--pid {}", root.pid) };
        let words: Vec<&str> = [Some(root.command.program.as_str()), root.command.app.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let is_told = words.iter().all(|word| is_plain(word)) && root.command.runs_a_program();
        let command = if is_told { words.join(" ") } else { "CMD".to_owned() };
        Self { selector, command }
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

/// Our allocator, from the next start on.
pub(crate) fn run(target: &Target) -> Advice {
    let effect = "before the service's own command: a tuned allocator; `slackwater advise` has it for \
                  systemd, Docker and others";
    advice(When::ForGood, format!("slackwater run -- {}", target.command), effect)
}

/// The same load before and after, measured.
pub(crate) fn prove(target: &Target) -> Advice {
    advice(
        When::Prove,
        target.verb("lab init"),
        "writes a plan that load-tests the service with and without it",
    )
}

/// Our allocator, for Python's small objects too.
pub(crate) fn run_for_objects(target: &Target) -> Advice {
    let effect = "a tuned allocator for small objects too, instead of pymalloc's arenas; \
                  `slackwater advise` has it for systemd, Docker and others";
    advice(When::ForGood, format!("slackwater run -- {}", target.command), effect)
}

/// Why our allocator, which is there, does not do its work.
pub(crate) fn verify(target: &Target) -> Advice {
    advice(When::LookCloser, target.verb("verify"), "says whether it purges by itself in every worker")
}

/// Watch the service.
pub(crate) fn watch(target: &Target, effect: &str) -> Advice {
    advice(When::LookCloser, format!("{} --for 60s", target.verb("diagnose")), effect)
}

/// What finds the line of code, which a look cannot; `options` make the memory that grows visible.
pub(crate) fn record(target: &Target, options: &str) -> Advice {
    let command = format!("{} --duration 5m{options}", target.verb("record"));
    let effect = "records who allocates, in every worker, while it serves; `slackwater table --leaks --until \
                  -1m` on the capture names the lines that still hold it";
    advice(When::LookCloser, command, effect)
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
