//! The virtual environment that `make fixtures` makes, with servers, frameworks and wheels of native code.

use std::path::PathBuf;

use crate::compile::workspace;

/// A tool of it, such as `python`; where it is missing, that is said on standard error.
#[must_use]
#[expect(clippy::print_stderr, reason = "a test that covers less than it could must say so")]
pub fn wheel(tool: &str) -> Option<PathBuf> {
    let path = workspace().join("fixtures/.cache/wheels/bin").join(tool);
    if !path.exists() {
        eprintln!("not tested: no {tool}, which `make fixtures` installs in fixtures/.cache/wheels");
        return None;
    }
    Some(path)
}
