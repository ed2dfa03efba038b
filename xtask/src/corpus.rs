//! `cargo xtask corpus`: how often the verdict is right, on services whose memory does a known thing.
//!
//! Invariant: the binary is asked as a user would ask it, and judged by its JSON alone. The labels are
//! `tests/corpus/corpus.toml`, and its README says what they and the scores mean.

mod labels;
mod page;
mod score;
mod trial;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Profile};
use labels::Service;
use score::Scores;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Request {
    /// Only these services; none named means all.
    pub(crate) names: Vec<String>,
    /// The interpreter that runs them.
    pub(crate) python: Option<PathBuf>,
    /// The binary that is asked; none means the release build of this tree.
    pub(crate) binary: Option<PathBuf>,
    /// Whether docs/corpus.md is written.
    pub(crate) publish: bool,
}

impl Request {
    /// `[--publish] [--python PATH] [--binary PATH] [NAME...]`
    ///
    /// # Errors
    /// On a flag that does not exist, and when a part of the corpus was to be published.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut request = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--publish" => request.publish = true,
                "--python" => request.python = Some(path(word, words.next())?),
                "--binary" => request.binary = Some(path(word, words.next())?),
                flag if flag.starts_with('-') => bail!("no such flag: {flag}"),
                name => request.names.push(name.to_owned()),
            }
        }
        if request.publish && !request.names.is_empty() {
            bail!("only the whole corpus is published: name no services with --publish");
        }
        Ok(request)
    }
}

/// The path that follows `flag`, whole: the working directory changes later.
fn path(flag: &str, word: Option<&&str>) -> Result<PathBuf> {
    let word = word.with_context(|| format!("{flag} needs a path"))?;
    std::path::absolute(word).with_context(|| format!("{word} is no path"))
}

/// Runs the corpus and returns its table.
///
/// # Errors
/// When the corpus cannot be read, the binary cannot be built, or nothing could be run.
pub(crate) fn run(request: &Request) -> Result<String> {
    let root = workspace::root();
    let folder = root.join("tests/corpus");
    let services = labels::read(&folder.join("corpus.toml"))?;
    if let Some(unknown) = request.names.iter().find(|name| services.iter().all(|one| one.name != **name)) {
        bail!("no service of the corpus is called {unknown}");
    }
    let binary = match &request.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_binary(&root, Profile::Release)?,
    };
    // The scripts run with their own folder as working directory.
    std::env::set_current_dir(&folder).with_context(|| format!("cannot enter {}", folder.display()))?;
    let python = trial::Python::new(request.python.as_deref())?;

    let wanted = |service: &&Service| request.names.is_empty() || request.names.contains(&service.name);
    let mut scores = Scores::default();
    for service in services.iter().filter(wanted) {
        match trial::reason_to_skip(service, &python, &root) {
            Some(reason) => scores.skip(service, reason),
            None => {
                let answer = trial::run(service, &python, &binary, &root);
                scores.add(service, answer.map_err(|error| format!("{error:#}")));
            }
        }
        workspace::progress(&scores.last);
    }
    if scores.is_empty() {
        bail!("no service of the corpus could be run here");
    }
    let table = page::markdown(&scores);
    if request.publish {
        let path = root.join("docs/corpus.md");
        std::fs::write(&path, page::document(&scores, &python.version, &table))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let request = Request::parse(&["--python", "/usr/bin/python3", "plateau"]).unwrap();
        assert_eq!(request.names, ["plateau"]);
        assert_eq!(request.python, Some(PathBuf::from("/usr/bin/python3")));
        assert!(Request::parse(&["--publish"]).unwrap().publish);
        assert!(Request::parse(&["--publish", "plateau"]).is_err());
        assert!(Request::parse(&["--python"]).is_err());
        assert!(Request::parse(&["--quick"]).is_err());
    }
}
