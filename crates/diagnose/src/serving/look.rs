//! One look at how a process's malloc is served.

use slackwater_base::{Gap, Pid};
use slackwater_heap::jemalloc::{self, Snapshot};
use slackwater_memory::{Bindings, Mapping, Memory, Symbols};
use slackwater_procfs::{ProcError, Process, Root};
use slackwater_tune::hazards::Surroundings;

use super::environment::Environment;
use super::{AskedAbove, CLibrary, Serving, Sight, binding, preload, purging, scope, settings};
use crate::service::Member;
use crate::xray::{identify, objects};
use crate::{Cgroup, MallocKind, Role};

/// Ancestors that are asked what they were to preload.
const MOST_ANCESTORS: usize = 8;

/// Looks at one process. [`super::judge`] tells then what is wrong.
///
/// # Errors
/// When the process is gone, or its memory or environment is not ours to read.
pub fn look<T: Memory + Symbols + Bindings>(
    root: &Root,
    process: &Process,
    member: &Member,
    target: &T,
    surroundings: &Surroundings,
) -> Result<Serving, ProcError> {
    let sight = Sight { memory: target, symbols: target, bindings: target };
    let mut gaps = Vec::new();
    let order = scope::search_order(target, target);
    let executable = process.executable().ok();
    let environment = Environment::read(process, sight, &order)?;
    if !environment.visible {
        gaps.push(Gap::new("its environment", "its title covers it, and its copies were not found"));
    }
    let server = binding::find(sight, executable.as_deref(), &order);
    let preloads = preload::find(process, target, &environment);
    let tids = process.tasks()?;
    let file = server
        .library
        .as_deref()
        .and_then(|library| target.mappings().iter().find(|mapping| mapping.path() == Some(library))?.file());
    let conf_variable = file.map_or("MALLOC_CONF", |file| settings::conf_variable(target, file));
    let block = block(target, target, server.kind, &mut gaps);
    let mut glibc = None;
    let in_force = match server.kind {
        MallocKind::Glibc => settings::of_glibc(target, &mut glibc, &mut gaps),
        MallocKind::Jemalloc => settings::of_jemalloc(process, &environment, conf_variable),
        MallocKind::Mimalloc => settings::of_variables(&environment, "MIMALLOC_"),
        MallocKind::Tcmalloc => settings::of_variables(&environment, "TCMALLOC_"),
        MallocKind::Slackwater => {
            block.as_ref().map(|block| settings::of_slackwater(block, &environment)).unwrap_or_default()
        }
        MallocKind::Musl | MallocKind::Unknown => Vec::new(),
    };
    let own_pid = process.status().ok().and_then(|status| status.innermost_pid());
    let serving_name = file_name(server.library.as_deref());
    let identified = identify(target, target, executable.as_deref());
    let first = identified.library.map(|name| (identified.kind, name));
    let mut others: Vec<_> = first.into_iter().chain(identified.others).collect();
    others.retain(|(kind, name)| {
        let preloaded = |entry: &str| name.starts_with(entry.rsplit('/').next().unwrap_or(entry));
        *kind != MallocKind::Glibc
            && Some(name) != serving_name.as_ref()
            && !preloads.iter().any(|one| preloaded(&one.entry))
    });
    Ok(Serving {
        pid: process.pid(),
        parent: member.parent,
        role: member.role,
        command: member.command.to_string(),
        c_library: c_library(target),
        secure: process.is_secure().ok().flatten(),
        asked_above: asked_above(root, member, &environment),
        conf_variable,
        glibc,
        settings: in_force,
        refused_options: block.as_ref().map_or(0, |block| block.settings.n_refused_options),
        purging: purging::find(process, server.kind, &tids),
        version: block.as_ref().map(|block| block.library.to_string()),
        statistics: block.as_ref().map(|block| block.statistics),
        governor: block.as_ref().map(|block| settings::governor(block, own_pid)),
        objects: objects(target, target, &mut gaps),
        huge_pages_always: surroundings.huge_pages_always,
        cgroup: Cgroup::of(process, root),
        server,
        others,
        preloads,
        environment,
        mistakes: Vec::new(),
        gaps,
    })
}

/// What our library says of itself, where it serves.
fn block(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    kind: MallocKind,
    gaps: &mut Vec<Gap>,
) -> Option<Snapshot> {
    if kind != MallocKind::Slackwater {
        return None;
    }
    let block = jemalloc::find_block(memory, symbols);
    let read = block.map(|addr| jemalloc::read_block(memory, addr));
    let cause = match read {
        Some(Ok(block)) => return Some(block),
        Some(Err(error)) => error.to_string(),
        None => "the library does not export it".to_owned(),
    };
    gaps.push(Gap::new("the library's block", cause));
    None
}

fn file_name(path: Option<&std::path::Path>) -> Option<String> {
    Some(path?.file_name()?.to_string_lossy().into_owned())
}

fn c_library(memory: &dyn Memory) -> CLibrary {
    let maps = |starts: &[&str]| {
        let code = memory.mappings().iter().filter(|mapping| mapping.access.execute);
        let mut names = code.filter_map(|mapping| mapping.file_name());
        names.any(|name| starts.iter().any(|start| name.starts_with(start)))
    };
    let is_musl = |mapping: &Mapping| mapping.access.execute && mapping.path().is_some_and(scope::is_musl);
    if memory.mappings().iter().any(is_musl) {
        CLibrary::Musl
    } else if maps(&["libc.so.6", "libc-2."]) {
        CLibrary::Glibc
    } else if scope::loader(memory).is_none() {
        CLibrary::Static
    } else {
        CLibrary::Unknown
    }
}

/// Whoever started the service and was asked to preload an allocator, when the service was not.
fn asked_above(root: &Root, member: &Member, environment: &Environment) -> Option<AskedAbove> {
    let is_root = matches!(member.role, Role::Master | Role::Single);
    if !is_root || !environment.visible || environment.get("LD_PRELOAD").is_some() {
        return None;
    }
    let mut pid = member.parent;
    for _ in 0..MOST_ANCESTORS {
        if pid.0 <= 1 {
            return None;
        }
        let process = root.process(pid).ok()?;
        let stat = process.stat().ok()?;
        let value = process.environment_variable("LD_PRELOAD").ok().flatten().unwrap_or_default();
        let value = value.to_string_lossy().into_owned();
        let is_allocator = |entry: &str| slackwater_tune::allocator_of_library(entry.as_bytes()).is_some();
        if preload::entries(&value).any(is_allocator) {
            return Some(AskedAbove { pid, name: stat.comm, value });
        }
        pid = Pid(stat.ppid);
    }
    None
}
