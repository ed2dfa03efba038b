//! Becoming the program: what has to be set up inside the new process, then one `execve`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustix::thread::CpuSet;

use super::protocol::Beginning;

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// What comes over the pipe is no order.
    #[error("this is started by slackwater itself, with an order on standard input")]
    Order(#[source] io::Error),
    /// Its keeper has ended meanwhile.
    #[error("whoever started this has ended")]
    Abandoned,
    /// It cannot be pinned to its processors.
    #[error("cannot use processors {cpus:?}")]
    Processors {
        /// Those asked for.
        cpus: Vec<usize>,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot join its control group.
    #[error("cannot join the control group by {}", path.display())]
    Group {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be executed.
    #[error("cannot execute {program} in {}", directory.display())]
    Execute {
        /// The first word of the command.
        program: String,
        /// Where it was to run.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Becomes the program that the order on standard input names. Returns only when that fails.
///
/// # Errors
/// Always: with the reason.
pub fn begin() -> BeginError {
    match prepare() {
        Ok((mut command, beginning)) => BeginError::Execute {
            program: beginning.order.command.first().cloned().unwrap_or_default(),
            directory: beginning.order.directory,
            source: command.exec(),
        },
        Err(error) => error,
    }
}

fn prepare() -> Result<(Command, Beginning), BeginError> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map_err(BeginError::Order)?;
    let beginning: Beginning =
        serde_json::from_str(&text).map_err(|error| BeginError::Order(error.into()))?;
    // From here on the kernel ends this process with its keeper; before, the check below does.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|_| BeginError::Abandoned)?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    if parent != Some(beginning.keeper) {
        return Err(BeginError::Abandoned);
    }
    let order = &beginning.order;
    if !order.cpus.is_empty() {
        pin(&order.cpus).map_err(|source| BeginError::Processors { cpus: order.cpus.clone(), source })?;
    }
    if let Some(path) = &beginning.members {
        // 0 is whoever writes.
        fs::write(path, "0").map_err(|source| BeginError::Group { path: path.clone(), source })?;
    }
    let (program, arguments) = order.command.split_first().ok_or_else(|| {
        BeginError::Order(io::Error::new(io::ErrorKind::InvalidInput, "an order names a program"))
    })?;
    let mut command = Command::new(program);
    command.args(arguments).envs(&order.environment).current_dir(&order.directory).stdin(Stdio::null());
    Ok((command, beginning))
}

/// Restricts this process to processors.
pub(crate) fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        set.set(cpu);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
