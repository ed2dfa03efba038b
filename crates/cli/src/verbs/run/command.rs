//! What a command names: the file that will run, found as a shell would find it and followed through
//! the first lines of scripts, and whether anything can be preloaded there.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;
use slackwater_tune::ReadCache;
use slackwater_tune::program::{Program, Refusal, Rights};

use crate::exit::{Exit, Failure};

/// Scripts that the kernel follows before it gives up.
const DEEPEST: usize = 5;

/// Where programs are looked for without PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// A command that can be started with something preloaded.
pub(in crate::verbs) struct Command {
    /// The file to execute.
    pub(in crate::verbs) file: PathBuf,
    /// The program that runs in the end: for a script its interpreter.
    pub(in crate::verbs) program: PathBuf,
    /// Whether a shell has to read it, because it is text without a first line that names who else.
    pub(in crate::verbs) is_shell_text: bool,
    /// The loader of the program that runs in the end, where that is known.
    pub(in crate::verbs) loader: Option<PathBuf>,
}

impl Command {
    /// Finds and follows `name`, as it would be with this `PATH`.
    pub(in crate::verbs) fn find(name: &OsStr, path: Option<&OsStr>) -> Result<Self, Failure> {
        let path = path.unwrap_or(OsStr::new(USUAL_PATH));
        let file = located(name, path)?;
        let mut current = file.clone();
        let mut command = Self { program: file.clone(), file, is_shell_text: false, loader: None };
        for _ in 0..DEEPEST {
            command.program.clone_from(&current);
            match look(&current)? {
                Program::Preloadable { loader } => {
                    command.loader = Some(loader);
                    return Ok(command);
                }
                Program::Script { interpreter, argument } => {
                    current = interpreter_of(&current, &interpreter, argument.as_deref(), path)?;
                }
                Program::Text => {
                    command.is_shell_text = current == command.file;
                    return Ok(command);
                }
                Program::Refused(refusal) => return Err(refused(&current, &refusal)),
                _ => return Err(refused(&current, &Refusal::NoProgram)),
            }
        }
        let error =
            format!("{} goes through more interpreters than the kernel follows", command.file.display());
        Err(Failure::new(Exit::Target, error))
    }
}

fn refused(file: &Path, refusal: &Refusal) -> Failure {
    let failure = Failure::new(Exit::Target, format!("nothing can be preloaded into {}", file.display()));
    failure.caused_by(refusal).hint(refusal.hint())
}

/// What the file is. A program that may be run but not read is taken for an ordinary one.
fn look(file: &Path) -> Result<Program, Failure> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Program::Preloadable { loader: PathBuf::new() });
        }
        opened => opened.map_err(|error| unreadable(file, &error))?,
    };
    let data = opened.metadata().map_err(|error| unreadable(file, &error))?;
    let program = Program::of(&ReadCache::new(opened));
    if matches!(program, Program::Preloadable { .. }) {
        let rights = Rights {
            mode: data.mode(),
            owner: (data.uid(), data.gid()),
            has_capabilities: has_capabilities(file),
            caller: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        };
        if let Some(refusal) = rights.refusal() {
            return Ok(Program::Refused(refusal));
        }
    }
    Ok(program)
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot read {}", file.display())).caused_by(error)
}

fn has_capabilities(file: &Path) -> bool {
    let mut value = [0_u8; 64];
    rustix::fs::getxattr(file, "security.capability", &mut value[..]).is_ok()
}

/// The interpreter of a script; for `env` the program that it is told to look for.
fn interpreter_of(
    script: &Path,
    interpreter: &Path,
    argument: Option<&OsStr>,
    path: &OsStr,
) -> Result<PathBuf, Failure> {
    let missing = |name: &OsStr| {
        let error = format!("{} needs an interpreter that is not there", script.display());
        let cause = format!("there is no {}", name.display());
        let mut failure = Failure::new(Exit::Usage, error);
        failure.causes.push(cause);
        failure.hint("install it, or correct the first line of the script")
    };
    if interpreter.file_name() == Some(OsStr::new("env"))
        && let Some(name) = argument.and_then(sought_by_env)
    {
        return located(name, path).map_err(|_| missing(name));
    }
    if !interpreter.exists() {
        return Err(missing(interpreter.as_os_str()));
    }
    Ok(interpreter.to_path_buf())
}

/// The program in `env`'s argument: `python3`, `-S python3 -u`, `-S A=1 python3`.
fn sought_by_env(argument: &OsStr) -> Option<&OsStr> {
    let words = argument.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.filter(|word| word[0] != b'-' && !word.contains(&b'=')).map(OsStr::from_bytes).next()
}

/// The file that `name` means.
fn located(name: &OsStr, path: &OsStr) -> Result<PathBuf, Failure> {
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![PathBuf::from(name)]
    } else {
        std::env::split_paths(path)
            .map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
            .map(|folder| folder.join(name))
            .collect()
    };
    let mut denied = None;
    for candidate in candidates {
        if candidate.is_dir() {
            denied.get_or_insert((candidate, "it is a folder"));
            continue;
        }
        match rustix::fs::access(&candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => {
                denied.get_or_insert((candidate, "it is not executable for this user"));
            }
            Err(_) => {}
        }
    }
    let mut failure = match denied {
        Some((file, cause)) => {
            let mut failure = Failure::new(Exit::Denied, format!("cannot execute {}", file.display()));
            failure.causes.push(cause.to_owned());
            failure
        }
        None => Failure::new(Exit::Usage, format!("there is no command {}", name.display())),
    };
    if !name.as_bytes().contains(&b'/') && failure.exit == Exit::Usage {
        failure =
            failure.hint("it is not in PATH: name it with its folder, or activate the virtual environment");
    }
    Err(failure)
}
