//! What a shared library says of itself, as binutils read it.

use std::path::PathBuf;
use std::process::Command;

use crate::error::TestkitError;

/// Names that the linker and the compiler's runtime add to any library.
const LINKERS: [&str; 4] =
    ["__gmon_start__", "__cxa_finalize", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"];

/// A shared library.
#[derive(Clone, Debug)]
pub struct SharedObject {
    path: PathBuf,
}

impl SharedObject {
    /// The library at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What a tool of binutils prints of it.
    ///
    /// # Errors
    /// When the tool is not there, or does not understand the file.
    pub fn told_by(&self, tool: &str, options: &[&str]) -> Result<String, TestkitError> {
        let output = Command::new(tool)
            .args(options)
            .arg(&self.path)
            .output()
            .map_err(|source| TestkitError::Start { program: tool.into(), source })?;
        if !output.status.success() {
            let diagnostics = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(TestkitError::Unreadable { path: self.path.clone(), diagnostics });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What programs find in it, sorted.
    ///
    /// # Errors
    /// As [`SharedObject::told_by`].
    pub fn exports(&self) -> Result<Vec<String>, TestkitError> {
        self.names("--defined-only")
    }

    /// What it must find elsewhere, sorted, without what every library asks for.
    ///
    /// # Errors
    /// As [`SharedObject::told_by`].
    pub fn imports(&self) -> Result<Vec<String>, TestkitError> {
        self.names("--undefined-only")
    }

    fn names(&self, which: &str) -> Result<Vec<String>, TestkitError> {
        let text = self.told_by("nm", &["--dynamic", which])?;
        let names = text.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next());
        let mut names: Vec<_> = names.filter(|name| !LINKERS.contains(name)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The libraries that are loaded with it.
    ///
    /// # Errors
    /// As [`SharedObject::told_by`].
    pub fn needs(&self) -> Result<Vec<String>, TestkitError> {
        let dynamic = self.told_by("readelf", &["--dynamic", "--wide"])?;
        let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
        Ok(needed.filter_map(|line| line.split(['[', ']']).nth(1)).map(str::to_owned).collect())
    }

    /// The `x` of the oldest glibc, 2.x, under which it loads.
    ///
    /// # Errors
    /// As [`SharedObject::told_by`].
    pub fn glibc_minor_min(&self) -> Result<Option<u32>, TestkitError> {
        let versions = self.told_by("readelf", &["--version-info", "--wide"])?;
        let minors = versions.split("GLIBC_2.").skip(1).filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        Ok(minors.max())
    }
}
