//! File trees of other Debian releases, as `fixtures/fetch` leaves them: another glibc, its headers,
//! and its Pythons, entered by chroot.
//!
//! Invariant: a root is offered only when a program really runs in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::compile::workspace;

/// Every suite `fixtures/fetch` knows, so that an absent one can be named.
const SUITES: [&str; 3] = ["bullseye", "trixie", "sid"];

/// One release's file tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GlibcRoot {
    suite: String,
    path: PathBuf,
    glibc: (u32, u32),
}

impl GlibcRoot {
    /// Debian's name of the release.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Where it lies on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its glibc, as (major, minor).
    pub fn glibc(&self) -> (u32, u32) {
        self.glibc
    }

    /// A command that runs inside the root. The path is the one the root itself knows.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.path).arg(program);
        command
    }

    /// The root's own name of a file that lies within it. A file outside keeps its name.
    pub fn inside(&self, host_path: &Path) -> PathBuf {
        match host_path.strip_prefix(&self.path) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => host_path.to_path_buf(),
        }
    }

    /// Folder for what tests put into the root.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join("tmp/testkit")
    }
}

/// The roots that are there and usable; absent ones are named once on standard error.
pub fn glibc_roots() -> &'static [GlibcRoot] {
    static ROOTS: OnceLock<Vec<GlibcRoot>> = OnceLock::new();
    ROOTS.get_or_init(|| SUITES.iter().filter_map(|suite| find(suite)).collect())
}

#[expect(clippy::print_stderr, reason = "a test that covers less than it could must say so")]
fn find(suite: &str) -> Option<GlibcRoot> {
    let path = workspace().join("fixtures/.cache").join(suite);
    if !path.join("complete").exists() {
        eprintln!(
            "testkit: no {suite} root, so its glibc and Pythons are not covered (`make fixtures` fetches it)"
        );
        return None;
    }
    let mut root = GlibcRoot { suite: suite.to_owned(), path, glibc: (0, 0) };
    match root.command(Path::new("/usr/bin/getconf")).arg("GNU_LIBC_VERSION").output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (major, minor) = text.trim().rsplit(' ').next()?.split_once('.')?;
            root.glibc = (major.parse().ok()?, minor.parse().ok()?);
            Some(root)
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("testkit: the {suite} root cannot be entered, so it is not covered: {}", said.trim());
            None
        }
        Err(error) => {
            eprintln!("testkit: chroot cannot be started, so {suite} is not covered: {error}");
            None
        }
    }
}
