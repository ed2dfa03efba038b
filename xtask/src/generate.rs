//! `cargo xtask generate`: the pages that are made from the code, so that they cannot lie.
//!
//! Invariant: a page depends on the sources alone: not on the machine, the terminal or the clock.

mod advise;
mod cli_page;
mod findings;
mod promises;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// What to do with a page that is out of date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Write it.
    Write,
    /// Fail, naming it.
    Check,
}

/// One generated file.
struct Page {
    /// Relative to the workspace's root.
    path: String,
    /// Its whole content.
    text: String,
}

/// Generates every page.
///
/// # Errors
/// In [`Mode::Check`], names every page that differs from the code.
pub(crate) fn run(mode: Mode) -> Result<String> {
    let root = workspace::root();
    let pages = [advise::page()?, cli_page::page(&root)?, findings::page(&root)?, promises::page(&root)?];

    let stale: Vec<&Page> = pages.iter().filter(|page| !is_current(&root, page)).collect();
    if mode == Mode::Check && !stale.is_empty() {
        let paths: Vec<&str> = stale.iter().map(|page| page.path.as_str()).collect();
        bail!("generated files differ from the code, run `cargo xtask generate`:\n  {}", paths.join("\n  "));
    }
    for page in &stale {
        write(&root, page)?;
    }
    Ok(format!("{} generated files, {} of them were out of date\n", pages.len(), stale.len()))
}

fn is_current(root: &Path, page: &Page) -> bool {
    fs::read_to_string(root.join(&page.path)).is_ok_and(|text| text == page.text)
}

fn write(root: &Path, page: &Page) -> Result<()> {
    let path = root.join(&page.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&path, &page.text).with_context(|| format!("cannot write {}", path.display()))
}

/// The entries of a folder, sorted. A folder that does not exist has none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut paths = listed.with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}
