//! docs/cli.md: what the binary says about itself.
//!
//! Invariant: the binary is run with no terminal and no COLUMNS, so that the text is as wide on
//! every machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Page;
use crate::workspace;

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate`. -->
# Command line

What `slackwater --help` and `slackwater VERB --help` say. `slackwater completions SHELL` prints
completions for bash, zsh, fish, elvish and PowerShell; `slackwater man DIRECTORY` writes these pages
as man pages.
";

/// The page.
///
/// # Errors
/// When the binary cannot be built or run.
pub(super) fn page(root: &Path) -> Result<Page> {
    let binary = workspace::build_binary(root, workspace::Profile::Dev)?;
    let overview = help(&binary, &[])?;
    let verbs = verbs(&overview);
    if verbs.is_empty() {
        bail!("`slackwater --help` lists no verbs");
    }
    let mut text = String::from(INTRODUCTION);
    section(&mut text, "slackwater", &overview);
    for verb in verbs {
        section(&mut text, &format!("slackwater {verb}"), &help(&binary, &[verb])?);
    }
    Ok(Page { path: "docs/cli.md".to_owned(), text })
}

fn section(text: &mut String, title: &str, help: &str) {
    let _ = write!(text, "\n## {title}\n\n```text\n{}\n```\n", help.trim_end());
}

/// The verbs that the overview lists. clap adds `help` of its own accord, which needs no page.
fn verbs(overview: &str) -> Vec<&str> {
    let listed = overview.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect()
}

fn help(binary: &PathBuf, verb: &[&str]) -> Result<String> {
    let output = std::process::Command::new(binary)
        .args(verb)
        .arg("--help")
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE")
        .env("NO_COLOR", "1")
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    if !output.status.success() {
        bail!("`slackwater {} --help` failed: {}", verb.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout).context("the help is not UTF-8")?;
    Ok(text.lines().map(|line| line.trim_end().to_owned() + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_from_the_overview() {
        let overview = "About.\n\nUsage: x\n\nCommands:\n  diagnose  Say where\n            it is\n  help      Print\n\n\
            Options:\n  -q  Quiet\n";
        assert_eq!(verbs(overview), ["diagnose"]);
        assert_eq!(verbs("Usage: x\n"), [""; 0]);
    }
}
