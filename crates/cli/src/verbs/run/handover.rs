//! Becoming the service: one `execve`, so that nothing stands between it and whoever started it.
//!
//! Pid, parent, control group, standard streams, ignored signals, blocked signals and limits stay as
//! they are; signals and the exit code go straight to and from the service.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use signal_hook::consts::SIGPIPE;

use super::command::Command;
use crate::exit::{Exit, Failure};

/// Executes `command` with `words` as its arguments, the first of which is its own name, under the
/// present environment with `changes`. Returns only when that fails.
pub(super) fn become_command(
    command: &Command,
    words: &[OsString],
    changes: &BTreeMap<String, Option<OsString>>,
) -> Failure {
    match execute(command, words, changes) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn execute(
    command: &Command,
    words: &[OsString],
    changes: &BTreeMap<String, Option<OsString>>,
) -> Result<Infallible, Failure> {
    let mut arguments: Vec<CString> = Vec::with_capacity(words.len() + 1);
    let mut file = terminated(command.file.as_os_str())?;
    let mut words = words.iter().map(|word| word.as_os_str());
    if command.is_shell_text {
        // What execvp does: the kernel refuses text that names no interpreter, and shells read it.
        words.next();
        arguments.extend([c"/bin/sh".to_owned(), file]);
        file = c"/bin/sh".to_owned();
    }
    for word in words {
        arguments.push(terminated(word)?);
    }
    let environment = environment(changes)?;
    // Rust ignores SIGPIPE from the start, and what is ignored stays so across execve. What is handled
    // becomes the default again, as it is for a program that a shell starts.
    signal_hook::flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))
        .map_err(|error| Failure::new(Exit::Bug, "cannot reset SIGPIPE").caused_by(&error))?;
    nix::unistd::execve(&file, &arguments, &environment).map_err(|error| {
        let exit = match error {
            Errno::EACCES | Errno::EPERM => Exit::Denied,
            Errno::ENOEXEC | Errno::ELIBBAD => Exit::Target,
            _ => Exit::Usage,
        };
        Failure::new(exit, format!("cannot execute {}", command.file.display())).caused_by(&error)
    })
}

fn environment(changes: &BTreeMap<String, Option<OsString>>) -> Result<Vec<CString>, Failure> {
    let kept =
        std::env::vars_os().filter(|(name, _)| !changes.keys().any(|changed| name == changed.as_str()));
    let set = changes.iter().filter_map(|(name, value)| Some((OsString::from(name), value.clone()?)));
    kept.chain(set)
        .map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            terminated(&variable)
        })
        .collect()
}

fn terminated(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Usage, "an argument has a NUL byte in it").caused_by(&error))
}
