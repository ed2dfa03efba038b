//! From the words that name a service to one look at all its processes: shared by the verbs that
//! read.

use std::path::Path;
use std::sync::Arc;

use slackwater_base::Gap;
use slackwater_diagnose::{
    Member, ProcessReport, ProcessTable, SelectError, Selector, Service, Sharing, select, survey, xray,
};
use slackwater_procfs::{ProcError, Root};
use slackwater_remote::{Frames, Live, RemoteError};

use crate::args::Target;
use crate::exit::{Exit, Failure};

/// The services that `target` names.
///
/// # Errors
/// When it names none, or several where one is wanted.
pub(crate) fn services(root: &Root, target: &Target) -> Result<Vec<Service>, Failure> {
    let table = ProcessTable::read(root).map_err(|error| refused(&error))?;
    let selector = selector(target);
    let services = select(&table, &selector).map_err(|error| missing(root, &error))?;
    if !target.only {
        return Ok(services);
    }
    let alone = |mut service: Service| {
        service.members.retain(|member| target.pids.contains(&member.pid));
        service
    };
    Ok(services.into_iter().map(alone).collect())
}

/// `service` as it is now: workers that have come are in it, those that have gone are not. As it
/// was, when its root is gone.
pub(crate) fn refreshed(root: &Root, service: &Service, target: &Target) -> Service {
    let again = || {
        let table = ProcessTable::read(root).ok()?;
        let found = select(&table, &Selector::Pids(vec![service.root().pid])).ok()?;
        found.into_iter().find(|found| found.root().start_ticks == service.root().start_ticks)
    };
    if target.only { service.clone() } else { again().unwrap_or_else(|| service.clone()) }
}

fn selector(target: &Target) -> Selector {
    if let Some(name) = &target.name {
        Selector::Name(name.clone())
    } else if let Some(path) = &target.cgroup {
        Selector::Cgroup(cgroup_path(path))
    } else if target.all {
        Selector::All
    } else {
        Selector::Pids(target.pids.clone())
    }
}

/// A control group as /proc/PID/cgroup names it, from a path below its mount too.
fn cgroup_path(path: &Path) -> String {
    let below = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path);
    let below =
        ["memory", "unified"].iter().find_map(|mount| below.strip_prefix(mount).ok()).unwrap_or(below);
    let below = below.strip_prefix("/").unwrap_or(below);
    format!("/{}", below.display())
}

/// What one look at a service saw.
pub(crate) struct Look {
    pub(crate) processes: Vec<ProcessReport>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) sharing: Sharing,
    /// Memory of at least one process is not ours to read.
    pub(crate) denied: Option<RemoteError>,
}

/// Looks at every process of `service`, one after the other.
///
/// # Errors
/// When none of them can be looked at any more.
pub(crate) fn look(root: &Root, service: &Service) -> Result<Look, Failure> {
    let frames = Arc::new(Frames::new());
    let sharing = if frames.are_visible() { Sharing::Frames } else { Sharing::Proportional };
    let mut look = Look { processes: Vec::new(), gaps: Vec::new(), sharing, denied: None };
    let mut ended = None;
    for member in &service.members {
        match process(root, member, &frames, &mut look) {
            Ok(report) => look.processes.push(report),
            Err(error) => {
                look.gaps.push(Gap::new(format!("process {}", member.pid), error.to_string()));
                ended = Some(error);
            }
        }
    }
    match ended {
        Some(error) if look.processes.is_empty() => Err(refused_remote(&error)),
        _ => Ok(look),
    }
}

/// Looks at one process, whatever else its service has.
///
/// # Errors
/// When it cannot be looked at any more.
pub(crate) fn alone(root: &Root, member: &Member) -> Result<ProcessReport, RemoteError> {
    let sharing = Sharing::Proportional;
    let mut look = Look { processes: Vec::new(), gaps: Vec::new(), sharing, denied: None };
    process(root, member, &Arc::new(Frames::new()), &mut look)
}

fn process(
    root: &Root,
    member: &Member,
    frames: &Arc<Frames>,
    look: &mut Look,
) -> Result<ProcessReport, RemoteError> {
    match Live::open_sharing(root, member.pid, Arc::clone(frames)) {
        Ok(live) if live.process().start_ticks() != member.start_ticks => {
            Err(ProcError::Gone { pid: member.pid }.into())
        }
        Ok(live) => {
            let report = xray(live.process(), member, &live, &live, look.sharing);
            // An exec in the middle is no exit: say which it was.
            report.map_err(|error| live.end().unwrap_or_else(|| error.into()))
        }
        Err(error) if error.is_denied() => {
            let report = survey(&root.process(member.pid)?, member, &error.to_string())?;
            look.denied = Some(error);
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

/// A service that was not found.
pub(super) fn missing(root: &Root, error: &SelectError) -> Failure {
    // A pid that is no user process is in no table: say which kind it is.
    if let SelectError::NoProcess(pid) = error
        && let Err(precise) = root.process(*pid).and_then(|process| process.require_memory())
    {
        return refused(&precise);
    }
    let exit = if matches!(error, SelectError::Ambiguous { .. }) { Exit::Usage } else { Exit::Target };
    Failure::new(exit, error).hint(error.hint())
}

/// A process that cannot be looked at.
pub(crate) fn refused(error: &ProcError) -> Failure {
    Failure::of(if error.is_denied() { Exit::Denied } else { Exit::Target }, error, error.hint())
}

/// A process that cannot be looked at, or no longer is what it was.
pub(crate) fn refused_remote(error: &RemoteError) -> Failure {
    Failure::of(if error.is_denied() { Exit::Denied } else { Exit::Target }, error, error.hint())
}
