//! The libraries that tests preload: built before them, found here.

use std::path::PathBuf;

use crate::compile::workspace;
use crate::error::TestkitError;

/// The allocator library, as `cargo build --profile library -p slackwater-allocator` leaves it;
/// `SLACKWATER_LIBRARY` names another.
///
/// # Errors
/// When it has not been built: a test that needs it fails and says how.
pub fn allocator_library() -> Result<PathBuf, TestkitError> {
    library("SLACKWATER_LIBRARY", "libslackwater_alloc.so")
}

/// The agent, as `cargo build --profile library -p slackwater-agent` leaves it; `SLACKWATER_AGENT` names
/// another.
///
/// # Errors
/// When it has not been built: a test that needs it fails and says how.
pub fn agent_library() -> Result<PathBuf, TestkitError> {
    library("SLACKWATER_AGENT", "libslackwater_agent.so")
}

/// The agent that holds each stack it puts together against the thread's frames and ends the process if they
/// differ, as `make library` leaves it; `SLACKWATER_CHECKED_AGENT` names another.
///
/// # Errors
/// When it has not been built: a test that needs it fails and says how.
pub fn checked_agent_library() -> Result<PathBuf, TestkitError> {
    library("SLACKWATER_CHECKED_AGENT", "checked/libslackwater_agent.so")
}

fn library(variable: &str, name: &str) -> Result<PathBuf, TestkitError> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(TestkitError::NoLibrary { path }) };
    }
    let targets = [std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from), Some(workspace().join("target"))];
    let folders =
        targets.iter().flatten().flat_map(|target| [target.join("library"), target.join("release")]);
    let mut paths = folders.map(|folder| folder.join(name));
    let found = paths.find(|path| path.is_file());
    found.ok_or_else(|| TestkitError::NoLibrary { path: workspace().join("target/library").join(name) })
}
