//! One service, started, asked about, and ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use slackwater_testkit::Program;

use super::labels::Service;
use super::score::Answer;

/// The interpreter under test.
#[derive(Clone, Debug)]
pub(super) struct Python {
    path: PathBuf,
    /// As `3.11.2`.
    pub(super) version: String,
}

impl Python {
    /// The one at `path`, or the machine's own `python3`.
    pub(super) fn new(path: Option<&Path>) -> Result<Self> {
        let path = path.unwrap_or(Path::new("/usr/bin/python3")).to_path_buf();
        let output = Command::new(&path)
            .args(["-c", "import platform; print(platform.python_version())"])
            .output()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || version.is_empty() {
            bail!("{} is no Python", path.display());
        }
        Ok(Self { path, version })
    }
}

/// `needs` of services that run in the demo's virtual environment.
const DEMO: &str = "demo-venv";

/// Why the service cannot be run here, if so.
pub(super) fn reason_to_skip(service: &Service, python: &Python, root: &Path) -> Option<String> {
    match service.needs.as_deref() {
        Some(DEMO) if !demo(root).exists() => {
            return Some("demo/.venv is missing: run make setup".to_owned());
        }
        Some(DEMO) | None => {}
        Some(path) if !Path::new(path).exists() => return Some(format!("{path} is missing")),
        Some(_) => {}
    }
    let is_too_old = numbers(&python.version) < numbers(&service.min_python);
    is_too_old.then(|| format!("needs Python {}, this is {}", service.min_python, python.version))
}

/// `3.11.2` as numbers to compare; a suffix like `rc1` is left out.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

fn demo(root: &Path) -> PathBuf {
    root.join("demo/.venv/bin/python")
}

/// Starts the service, asks the binary about it once it is ready, and ends it.
///
/// # Errors
/// When the service does not get ready, or the binary gives no answer.
pub(super) fn run(service: &Service, python: &Python, binary: &Path, root: &Path) -> Result<Answer> {
    let interpreter = if service.needs.as_deref() == Some(DEMO) { demo(root) } else { python.path.clone() };
    let mut program = Program::command(&interpreter).arg(&service.script);
    for (name, value) in &service.env {
        program = program.env(name, value);
    }
    let target = program.spawn()?;
    // A script that starts a server says the server's pid.
    let pid = match target.greeting() {
        "" => target.pid().to_string(),
        pid => pid.to_owned(),
    };
    let mut command = Command::new(binary);
    command.args(["diagnose", "--json", "--pid", &pid]);
    if service.watch_seconds > 0 {
        command.arg("--for").arg(format!("{}s", service.watch_seconds));
    }
    let output = command.output().context("cannot run slackwater")?;
    if !output.status.success() {
        bail!("slackwater ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(line), None) => answer(line),
        _ => bail!("not one service was found in the process's tree"),
    }
}

fn answer(line: &[u8]) -> Result<Answer> {
    #[derive(Deserialize)]
    struct Diagnosis {
        verdict: String,
        findings: Vec<Finding>,
    }
    #[derive(Deserialize)]
    struct Finding {
        code: String,
        kind: String,
    }
    let diagnosis: Diagnosis = serde_json::from_slice(line).context("the answer is no diagnosis")?;
    let findings = diagnosis.findings.into_iter().map(|finding| (finding.code, finding.kind)).collect();
    Ok(Answer { verdict: diagnosis.verdict, findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("3.9.18") < numbers("3.10"));
        assert!(numbers("3.8.18") > numbers("3.8"));
        assert_eq!(numbers("3.15.0rc1"), [3, 15]);
    }

    #[test]
    fn an_answer_is_read() {
        let line =
            br#"{"schema":1,"verdict":"steady","findings":[{"code":"SW100","kind":"steady","pid":null}]}"#;
        let expected = Answer {
            verdict: "steady".to_owned(),
            findings: vec![("SW100".to_owned(), "steady".to_owned())],
        };
        assert_eq!(answer(line).unwrap(), expected);
        assert!(answer(b"{}").is_err());
    }
}
