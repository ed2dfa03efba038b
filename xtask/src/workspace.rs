//! Where the workspace lies, and how a chore speaks.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Writes a chore's report to stdout. A reader that has gone away is not our trouble.
pub(crate) fn print(report: &str) {
    let _ = std::io::stdout().lock().write_all(report.as_bytes());
}

/// Writes a line to stderr: a chore that takes minutes says how far it is.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes an error and its causes to stderr, in the form the `slackwater` binary uses.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "cause: {cause}");
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// How the binary is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// As tests build it.
    Dev,
    /// As it is shipped.
    Release,
}

/// Builds the `slackwater` binary and says where it is.
pub(crate) fn build_binary(root: &Path, profile: Profile) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["build", "--quiet", "--package", "slackwater", "--bin", "slackwater"]);
    command.arg("--message-format=json-render-diagnostics").current_dir(root).stderr(Stdio::inherit());
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output = command.output().context("cannot run cargo build")?;
    if !output.status.success() {
        bail!("the slackwater binary does not build");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo built no executable")
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
