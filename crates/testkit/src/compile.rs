//! Builds C programs once: the file name is a hash of everything that decides the result, so a
//! program is compiled by whichever test asks first and found by all others.
//!
//! Invariant: a file under its final name is complete. It is written aside and renamed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::TestkitError;
use crate::roots::GlibcRoot;

const HANDSHAKE: &str = include_str!("planted/planted.h");

/// How a C program is linked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Linking {
    /// Position-independent, with the shared libc: what distributions build.
    #[default]
    Dynamic,
    /// At a fixed address, with the shared libc.
    DynamicFixed,
    /// Without any shared library, at a fixed address.
    Static,
    /// Without any shared library, position-independent.
    StaticPie,
}

impl Linking {
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Dynamic => &["-fPIE", "-pie"],
            Self::DynamicFixed => &["-fno-pie", "-no-pie"],
            Self::Static => &["-fno-pie", "-static"],
            Self::StaticPie => &["-fPIE", "-static-pie"],
        }
    }
}

/// A compilation that has not been asked for yet.
#[derive(Hash)]
pub(crate) struct Compilation<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    pub(crate) linking: Linking,
    pub(crate) compiler: &'a str,
    pub(crate) flags: &'a [&'a str],
}

impl Compilation<'_> {
    /// The executable, built against the host's libc or, for a root, against that root's.
    pub(crate) fn build(&self, root: Option<&GlibcRoot>) -> Result<PathBuf, TestkitError> {
        let folder = root.map_or_else(cache, GlibcRoot::scratch);
        let program = folder.join(file_name(self.name, &(self, HANDSHAKE, root.map(GlibcRoot::path)), ""));
        if program.exists() {
            return Ok(program);
        }
        make_folder(&folder)?;
        let work = tempfile::tempdir_in(&folder)
            .map_err(|source| TestkitError::Write { path: folder.clone(), source })?;
        write(&work.path().join("planted.h"), HANDSHAKE)?;
        let source_file = work.path().join(format!("{}.c", self.name));
        write(&source_file, self.source)?;
        let made = work.path().join(self.name);

        let mut command = Command::new(self.compiler);
        command.env("LC_ALL", "C");
        command.args(["-std=gnu11", "-O1", "-g1", "-Wall", "-Wno-unused-result", "-pthread"]);
        if let Some(root) = root {
            // The headers, crt1.o and libraries come from the root, the compiler and its libgcc from
            // the host. Without -B the host's libc.so is found before the root's.
            command.arg(format!("--sysroot={}", root.path().display()));
            command.arg(format!("-B{}/", root.path().join("usr/lib/x86_64-linux-gnu").display()));
        }
        command.args(self.linking.flags()).arg("-o").arg(&made).arg(&source_file);
        command.args(self.flags).arg("-ldl");
        let output = command
            .output()
            .map_err(|source| TestkitError::Start { program: self.compiler.to_owned(), source })?;
        if !output.status.success() {
            return Err(TestkitError::Compile {
                name: self.name.to_owned(),
                diagnostics: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        std::fs::rename(&made, &program)
            .map_err(|source| TestkitError::Write { path: program.clone(), source })?;
        Ok(program)
    }
}

/// Writes a script where the interpreter that shall run it can see it, and returns its host path.
pub(crate) fn script(name: &str, text: &str, root: Option<&GlibcRoot>) -> Result<PathBuf, TestkitError> {
    let folder = root.map_or_else(cache, GlibcRoot::scratch);
    let path = folder.join(file_name(name, &text, ".py"));
    if !path.exists() {
        make_folder(&folder)?;
        let fail = |source| TestkitError::Write { path: path.clone(), source };
        let aside = tempfile::NamedTempFile::new_in(&folder).map_err(fail)?;
        write(aside.path(), text)?;
        aside.persist(&path).map_err(|error| fail(error.error))?;
    }
    Ok(path)
}

/// Folder of everything built for the host.
fn cache() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("testkit")
}

/// The repository this crate was built from.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

fn file_name(name: &str, content: &impl Hash, suffix: &str) -> String {
    // The hash names a cache entry on this machine only, so std's need not be stable for ever.
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{name}-{:016x}{suffix}", hasher.finish())
}

fn make_folder(path: &Path) -> Result<(), TestkitError> {
    std::fs::create_dir_all(path).map_err(|source| TestkitError::Write { path: path.to_path_buf(), source })
}

fn write(path: &Path, text: &str) -> Result<(), TestkitError> {
    std::fs::write(path, text).map_err(|source| TestkitError::Write { path: path.to_path_buf(), source })
}
