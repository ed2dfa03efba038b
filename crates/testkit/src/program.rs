//! A program ready to be started: what to run, under which libc, with which arguments.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::compile::{Compilation, Linking, script};
use crate::error::TestkitError;
use crate::interpreters::Interpreter;
use crate::roots::GlibcRoot;
use crate::target::Target;

const PYTHON_HANDSHAKE: &str = include_str!("planted/planted.py");

/// A program that speaks the handshake: it writes a line starting with `ready` when everything is in
/// place, then answers each line of its standard input with one line.
#[derive(Clone, Debug)]
pub struct Program {
    executable: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    root: Option<GlibcRoot>,
    patience: Duration,
}

impl Program {
    /// How long a start or an answer may take unless [`Program::patience`] says otherwise. Long,
    /// because a loaded machine is no fault of the program; a healthy test never comes near it.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// A C program for the host's glibc, compiled unless it has been before. The source may
    /// `#include "planted.h"` for the handshake.
    pub fn c(name: &str, source: &str) -> Result<Self, TestkitError> {
        Self::c_linked(name, source, Linking::Dynamic, &[])
    }

    /// As [`Program::c`], with the linking chosen and extra compiler flags.
    pub fn c_linked(
        name: &str,
        source: &str,
        linking: Linking,
        flags: &[&str],
    ) -> Result<Self, TestkitError> {
        Self::compiled("cc", name, source, linking, flags)
    }

    /// As [`Program::c_linked`], by another compiler such as `musl-gcc`.
    pub fn compiled(
        compiler: &str,
        name: &str,
        source: &str,
        linking: Linking,
        flags: &[&str],
    ) -> Result<Self, TestkitError> {
        let compilation = Compilation { name, source, linking, compiler, flags };
        Ok(Self::command(&compilation.build(None)?))
    }

    /// A C program built against a root's glibc and started inside that root.
    pub fn c_within(root: &GlibcRoot, name: &str, source: &str) -> Result<Self, TestkitError> {
        Self::c_linked_within(root, name, source, Linking::Dynamic, &[])
    }

    /// As [`Program::c_within`], with the linking chosen and extra compiler flags.
    pub fn c_linked_within(
        root: &GlibcRoot,
        name: &str,
        source: &str,
        linking: Linking,
        flags: &[&str],
    ) -> Result<Self, TestkitError> {
        let executable = Compilation { name, source, linking, compiler: "cc", flags }.build(Some(root))?;
        Ok(Self { root: Some(root.clone()), ..Self::command(&root.inside(&executable)) })
    }

    /// A Python program. `ready`, `reply`, `commands` and `serve` are defined before its first line.
    pub fn python(interpreter: &Interpreter, name: &str, source: &str) -> Result<Self, TestkitError> {
        let text = format!("{PYTHON_HANDSHAKE}{source}");
        let path = script(name, &text, interpreter.root())?;
        let (executable, path) = match interpreter.root() {
            None => (interpreter.path().to_path_buf(), path),
            Some(root) => (root.inside(interpreter.path()), root.inside(&path)),
        };
        let program = Self { root: interpreter.root().cloned(), ..Self::command(&executable) };
        Ok(program.arg(path))
    }

    /// Any other program that speaks the handshake.
    pub fn command(executable: &Path) -> Self {
        Self {
            executable: executable.to_path_buf(),
            arguments: Vec::new(),
            environment: Vec::new(),
            root: None,
            patience: Self::PATIENCE,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets an environment variable, over the test's own.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// How long to wait for the start and for each answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The executable, as the program itself will name it.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// Starts the program and waits until it is ready.
    pub fn spawn(&self) -> Result<Target, TestkitError> {
        Target::start(self.to_command(), self.name(), self.patience)
    }

    /// The command that starts the program, for a test that wants to start it in its own way.
    pub fn to_command(&self) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.executable),
            Some(root) => root.command(&self.executable),
        };
        command.args(&self.arguments);
        // A test's outcome must not hang on how the shell that started it was set up.
        for (name, _) in std::env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if [&b"PYTHON"[..], b"MALLOC_", b"LD_", b"GLIBC_"].iter().any(|kind| name_bytes.starts_with(kind))
            {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn name(&self) -> String {
        let mut name = self.executable.display().to_string();
        for argument in &self.arguments {
            name.push(' ');
            name.push_str(&argument.to_string_lossy());
        }
        name
    }
}
