//! Processes for the rules' tests: sound ones, to which a test does one thing.

use slackwater_base::Pid;

use super::{Case, Mistake};
use crate::serving::environment::Environment;
use crate::serving::{CLibrary, Evidence, Fate, Preload, PreloadSource, Purger, Purging, Server, Serving};
use crate::{MallocKind, ObjectAllocator, Role};

/// A worker that `kind` serves, with nothing in its environment.
pub(super) fn serving(kind: MallocKind) -> Serving {
    Serving {
        pid: Pid(12),
        parent: Pid(11),
        role: Role::Worker,
        command: "gunicorn".to_owned(),
        server: Server { kind, evidence: Evidence::Bound, n_bound: 9, ..Server::unknown() },
        others: Vec::new(),
        c_library: CLibrary::Glibc,
        secure: Some(false),
        preloads: Vec::new(),
        environment: Environment { variables: Vec::new(), visible: true },
        asked_above: None,
        conf_variable: "MALLOC_CONF",
        glibc: None,
        settings: Vec::new(),
        refused_options: 0,
        purging: Purging { by: Purger::Frees, evidence: String::new() },
        governor: None,
        version: None,
        statistics: None,
        objects: Some(ObjectAllocator::Pymalloc),
        huge_pages_always: false,
        cgroup: None,
        mistakes: Vec::new(),
        gaps: Vec::new(),
    }
}

/// Sets a variable.
pub(super) fn with(mut process: Serving, name: &str, value: &str) -> Serving {
    process.environment.variables.push((name.to_owned(), value.to_owned()));
    process
}

/// An entry of `LD_PRELOAD`.
pub(super) fn preload(entry: &str, allocator: Option<MallocKind>, fate: Fate) -> Preload {
    let source = PreloadSource::Environment;
    Preload { entry: entry.to_owned(), source, allocator, fate, instead: None }
}

/// The codes that a rule finds in a process without a supervisor.
pub(super) fn codes(process: &Serving, rule: fn(&Case<'_>) -> Vec<Mistake>) -> Vec<&'static str> {
    codes_under(process, None, rule)
}

/// The codes that a rule finds.
pub(super) fn codes_under(
    process: &Serving,
    supervisor: Option<&Serving>,
    rule: fn(&Case<'_>) -> Vec<Mistake>,
) -> Vec<&'static str> {
    let found = rule(&Case { process, supervisor });
    assert!(found.iter().all(|one| !one.fix.is_empty() && !one.evidence[0].is_empty()), "{found:?}");
    found.iter().map(|mistake| mistake.code.key()).collect()
}
