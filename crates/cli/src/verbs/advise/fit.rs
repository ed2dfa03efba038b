//! What a running service shows of itself, for the advice to fit it. Reads only.

use std::io::Read;
use std::path::Path;

use slackwater_base::Pid;
use slackwater_diagnose::{Cgroup, MallocKind, Role};
use slackwater_procfs::{Named, Process, Root};
use slackwater_tune::Distribution;
use slackwater_tune::recipes::{self, Place, Server, Service};

use crate::args::Target;
use crate::exit::Failure;
use crate::verbs::look;

/// Most bytes that are read of a distribution's description of itself.
const MOST_OS_RELEASE_BYTES: u64 = 16 << 10;

/// What a running service shows.
pub(super) struct Fit {
    pub(super) service: Service,
    pub(super) distribution: Option<Distribution>,
    /// Where its control group says that it is configured.
    place: Option<Place>,
}

impl Fit {
    /// Where the service is most likely configured.
    pub(super) fn place(&self) -> Place {
        self.place.unwrap_or(match self.service.server {
            Some(Server::Gunicorn) => Place::Gunicorn,
            Some(Server::Uvicorn) => Place::Uvicorn,
            Some(Server::Celery) => Place::Celery,
            None => Place::Shell,
        })
    }
}

/// Looks at the service that is meant.
///
/// # Errors
/// When there is none, or it cannot be looked at.
pub(super) fn of_service(pid: Option<Pid>, name: Option<String>) -> Result<Fit, Failure> {
    let root = Root::host();
    let target = Target { pids: pid.into_iter().collect(), name, cgroup: None, all: false, only: false };
    let mut found = look::services(&root, &target)?;
    let mut service = found.swap_remove(0);
    let server = Server::ALL.iter().copied().find(|server| server.key() == service.name);
    let app = service.app.clone();
    // One process shows what is asked: a worker, or whatever there is.
    let shown = service.members.iter().position(|member| member.role == Role::Worker).unwrap_or(0);
    service.members = vec![service.members.swap_remove(shown)];
    let look = look::look(&root, &service)?;
    let report = look.processes.first();
    let process = root.process(service.root().pid).map_err(|error| look::refused(&error))?;
    let cgroup =
        process.cgroups().ok().and_then(|groups| Some(groups.path()?.to_string_lossy().into_owned()));
    let (place, unit) = cgroup.as_deref().map_or((None, None), recipes::of_cgroup);
    let python = report.and_then(|report| report.python.as_ref());
    let is_musl = report.is_some_and(|report| report.malloc.kind == MallocKind::Musl);
    Ok(Fit {
        service: Service {
            server,
            app,
            unit,
            limit_bytes: Cgroup::of(&process, &root).and_then(|group| group.limit_bytes),
            python: python.map(|python| python.version),
            is_free_threaded: python.is_some_and(|python| python.free_threaded),
        },
        distribution: if is_musl { Some(Distribution::Alpine) } else { distribution(&process) },
        place,
    })
}

/// What the root file system of the process says that it is.
fn distribution(process: &Process) -> Option<Distribution> {
    let Ok(Named::File(file)) = process.named(Path::new("/etc/os-release")) else { return None };
    let mut text = String::new();
    file.opened?.take(MOST_OS_RELEASE_BYTES).read_to_string(&mut text).ok()?;
    Distribution::of_os_release(&text)
}
