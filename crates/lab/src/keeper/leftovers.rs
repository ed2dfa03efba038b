//! What an earlier run left: processes whose keeper was killed at the same instant as its runner, before
//! either could see to their end.
//!
//! Everything that a keeper starts has the keeper in its environment, and is in its session unless it left
//! that. A process that has written a title over its environment and left the session is found only where
//! there was a control group.
//!
//! Invariant: nothing is signalled here, and no process counts whose keeper lives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use slackwater_base::Pid;
use slackwater_procfs::{Process, Root, State};

use super::group;
use super::protocol::Left;

/// The variable by which a process tells its keeper: pid and start time.
pub(super) const VARIABLE: &str = "SLACKWATER_LAB_KEEPER";
/// What the names of control groups begin with; the keeper's pid follows.
pub(super) const GROUP_PREFIX: &str = "slackwater-lab-";

/// What [`VARIABLE`] says in what this process starts.
pub(super) fn mark_of_this_keeper(root: &Root) -> Option<String> {
    let own = root.process(Pid(std::process::id() as i32)).ok()?;
    Some(format!("{}.{}", own.pid(), own.start_ticks()))
}

/// Processes of keepers that are gone. Control groups of theirs that have no process left are removed.
pub fn leftovers(root: &Root) -> Vec<Left> {
    let own = Pid(std::process::id() as i32);
    let processes: Vec<Process> = root
        .pids()
        .unwrap_or_default()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter_map(|pid| root.process(pid).ok())
        .collect();
    let mut keepers = BTreeSet::new();
    let mut found = BTreeSet::new();
    for process in &processes {
        if let Some(keeper) = gone_keeper_of(root, process) {
            keepers.insert(keeper);
            found.insert(process.pid());
        }
    }
    for (keeper, directory) in abandoned_groups(root) {
        keepers.insert(keeper);
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let members: Vec<Pid> = members.lines().filter_map(|line| line.parse().ok()).map(Pid).collect();
        if members.is_empty() {
            // One that is in use again by now stays, and is nobody's harm.
            let _ = group::remove(&directory);
        }
        found.extend(members);
    }
    // A number stays taken as long as a session has it, so it is still the keeper's.
    let in_session =
        |process: &&Process| process.stat().is_ok_and(|stat| keepers.contains(&Pid(stat.session)));
    found.extend(processes.iter().filter(in_session).map(Process::pid));
    found.into_iter().filter_map(|pid| named(root, pid)).collect()
}

/// The keeper that started a process, if it is gone.
fn gone_keeper_of(root: &Root, process: &Process) -> Option<Pid> {
    let mark = process.environment_variable(VARIABLE).ok()??;
    let (pid, start_ticks) = mark.to_str()?.split_once('.')?;
    let (pid, start_ticks) = (Pid(pid.parse().ok()?), start_ticks.parse::<u64>().ok()?);
    let lives =
        root.process(pid).is_ok_and(|keeper| keeper.start_ticks() == start_ticks && is_running(&keeper));
    (!lives).then_some(pid)
}

/// One that has ended, and that nobody has waited for yet, does nothing any more.
fn is_running(process: &Process) -> bool {
    process.stat().is_ok_and(|stat| stat.state != State::Zombie)
}

/// Control groups whose keeper is gone.
fn abandoned_groups(root: &Root) -> Vec<(Pid, PathBuf)> {
    let own = root.process(Pid(std::process::id() as i32));
    let Some(own) = own.ok().and_then(|own| own.memory_group(root).ok().flatten()) else { return Vec::new() };
    let places = own.directory.ancestors().take(2).map(Path::to_owned);
    let entries = places.flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    let abandoned = |path: PathBuf| {
        let keeper = Pid(path.file_name()?.to_str()?.strip_prefix(GROUP_PREFIX)?.parse().ok()?);
        let lives = root.process(keeper).is_ok_and(|keeper| is_running(&keeper));
        (!lives).then_some((keeper, path))
    };
    entries.filter_map(|entry| abandoned(entry.path())).collect()
}

fn named(root: &Root, pid: Pid) -> Option<Left> {
    let stat = root.process(pid).ok()?.stat().ok()?;
    (stat.state != State::Zombie).then_some(Left { pid: pid.0, name: stat.comm })
}
