//! Every CPython on this machine that Slackwater supports: pyenv's, Debian's own, and those in the
//! fixture roots.
//!
//! Invariant: the version of an interpreter is what it says itself, never what its path suggests.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::roots::{GlibcRoot, glibc_roots};

/// Minor versions of CPython 3 that Slackwater supports.
const SUPPORTED_MINORS: std::ops::RangeInclusive<u8> = 8..=15;

/// A CPython version, as (major, minor, micro). Pre-releases count as the release they lead to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u8, pub u8, pub u8);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One interpreter and how to start it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interpreter {
    version: Version,
    path: PathBuf,
    root: Option<GlibcRoot>,
    build: Build,
}

/// What kind of build an interpreter says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Build {
    Plain,
    Debug,
    FreeThreaded,
}

impl Interpreter {
    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its executable on the host, links resolved within its root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root it lives in, if not the host.
    pub fn root(&self) -> Option<&GlibcRoot> {
        self.root.as_ref()
    }

    /// Whether it was built without the global interpreter lock.
    pub fn is_free_threaded(&self) -> bool {
        self.build == Build::FreeThreaded
    }

    /// Whether it is a debug build (`Py_DEBUG`).
    pub fn is_debug(&self) -> bool {
        self.build == Build::Debug
    }

    /// Whether it is as most services have it: the host's own, with a lock, and no debug build.
    pub fn is_plain(&self) -> bool {
        self.root.is_none() && self.build == Build::Plain
    }

    /// A command that runs it, inside its root if it has one.
    pub fn command(&self) -> Command {
        match &self.root {
            None => Command::new(&self.path),
            Some(root) => root.command(&root.inside(&self.path)),
        }
    }

    /// A command that runs it on the host's own file system, where /proc is: by the loader and the libraries of
    /// its root if it has one.
    pub fn command_on_host(&self) -> Command {
        let Some(root) = &self.root else { return Command::new(&self.path) };
        let libraries = root.path().join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(&self.path);
        command.env("PYTHONHOME", root.path().join("usr"));
        command
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.root.as_ref().map_or("host", |root| root.suite());
        write!(f, "CPython {} ({place}, {})", self.version, self.path.display())
    }
}

/// All supported interpreters found, plain builds before others, oldest first; supported versions
/// that are absent are named once on standard error.
pub fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found: Vec<Interpreter> =
            host_candidates().iter().filter_map(|path| ask(path, None)).collect();
        for root in glibc_roots() {
            let candidates = named_like_python(&root.path().join("usr/bin"));
            found.extend(candidates.iter().filter_map(|path| ask(path, Some(root))));
        }
        found.sort_by_key(|interpreter| (interpreter.build != Build::Plain, interpreter.version));
        report_missing(&found);
        found
    })
}

fn host_candidates() -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    if let Some(Ok(versions)) = pyenv.map(|pyenv| std::fs::read_dir(pyenv.join("versions"))) {
        candidates.extend(versions.flatten().map(|version| version.path().join("bin/python3")));
    }
    candidates.extend(named_like_python(Path::new("/usr/bin")));
    candidates.extend(named_like_python(Path::new("/usr/local/bin")));
    candidates.retain(|path| path.exists());
    candidates
}

/// `python3.11`, `python3.13t`, `python3.11-dbg`, but not `python3.11-config`.
fn named_like_python(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_python = |name: &str| {
        let Some(rest) = name.strip_prefix("python3.") else { return false };
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        ["", "t", "-nogil", "-dbg", "d", "td"].contains(&rest)
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_python))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Starts it once to learn what it is. None for what is not a supported CPython.
fn ask(path: &Path, root: Option<&GlibcRoot>) -> Option<Interpreter> {
    const QUESTION: &str = "import sys, sysconfig
if sys.implementation.name == 'cpython':
    free = bool(sysconfig.get_config_var('Py_GIL_DISABLED'))
    print(*sys.version_info[:3], 'free' if free else 'debug' if hasattr(sys, 'gettotalrefcount') else 'plain')";
    // A pyenv or /usr/local name may be a link; one executable under two names is one interpreter.
    let path = if root.is_none() { path.canonicalize().ok()? } else { path.to_path_buf() };
    let mut interpreter =
        Interpreter { version: Version(0, 0, 0), path, root: root.cloned(), build: Build::Plain };
    let output = interpreter.command().args(["-S", "-E", "-c", QUESTION]).output().ok()?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = answer.split_whitespace().collect();
    let [major, minor, micro, build] = words[..] else { return None };
    interpreter.version = Version(major.parse().ok()?, minor.parse().ok()?, micro.parse().ok()?);
    interpreter.build = match build {
        "free" => Build::FreeThreaded,
        "debug" => Build::Debug,
        _ => Build::Plain,
    };
    let supported = interpreter.version.0 == 3 && SUPPORTED_MINORS.contains(&interpreter.version.1);
    supported.then_some(interpreter)
}

#[expect(clippy::print_stderr, reason = "a test that covers less than it could must say so")]
fn report_missing(found: &[Interpreter]) {
    for minor in SUPPORTED_MINORS {
        if !found.iter().any(|one| one.version.1 == minor && one.build == Build::Plain) {
            eprintln!("testkit: no CPython 3.{minor} on this machine, so it is not covered");
        }
    }
}
