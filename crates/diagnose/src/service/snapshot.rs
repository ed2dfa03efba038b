//! Takes the snapshot of the host's processes that a service is found in.

use std::os::unix::ffi::OsStrExt;

use slackwater_base::Pid;
use slackwater_procfs::{ProcError, Process, Root, State};

use super::{ProcessTable, Row};

/// Most arguments that are kept of a process. Servers name themselves in the first few; some
/// programs are given file names by the thousand.
const MAX_ARGUMENTS: usize = 256;

/// Longest argument that is kept, bytes.
const MAX_ARGUMENT_BYTES: usize = 4096;

impl ProcessTable {
    /// All processes below `root`. Those that end while we look, zombies and kernel threads are left
    /// out; of another user's, as much is kept as the kernel tells.
    ///
    /// # Errors
    /// When the tree of processes cannot be listed.
    pub fn read(root: &Root) -> Result<Self, ProcError> {
        Ok(root.pids()?.into_iter().filter_map(|pid| row(&root.process(pid).ok()?)).collect())
    }
}

fn row(process: &Process) -> Option<Row> {
    let stat = process.stat().ok()?;
    if stat.is_kernel_thread() || stat.state == State::Zombie {
        return None;
    }
    let text = |argument: &std::ffi::OsString| {
        let bytes = argument.as_bytes();
        String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ARGUMENT_BYTES)]).into_owned()
    };
    let arguments = process.command_line().unwrap_or_default();
    let mut argv: Vec<String> = arguments.iter().take(MAX_ARGUMENTS).map(text).collect();
    // A title written over the arguments leaves the rest of their space empty.
    while argv.last().is_some_and(String::is_empty) {
        argv.pop();
    }
    let cgroup =
        process.cgroups().ok().and_then(|groups| Some(groups.path()?.to_string_lossy().into_owned()));
    Some(Row {
        pid: process.pid(),
        parent: Pid(stat.ppid),
        start_ticks: process.start_ticks(),
        comm: stat.comm,
        exe: process.executable().ok().map(|path| path.to_string_lossy().into_owned()),
        argv,
        cgroup,
    })
}
