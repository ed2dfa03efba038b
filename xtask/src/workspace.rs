//! Where the workspace lies, and how a chore speaks.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Writes a chore's report to stdout. A reader that has gone away is not our trouble.
pub(crate) fn print(report: &str) {
    let _ = std::io::stdout().lock().write_all(report.as_bytes());
}

/// Writes an error and its causes to stderr, in the form the `slackwater` binary uses.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "cause: {cause}");
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
