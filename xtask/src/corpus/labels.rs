//! tests/corpus/corpus.toml: what is true of each service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use slackwater_diagnose::{Code, Kind};

/// One labelled service. tests/corpus/README.md says what each key means.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) script: String,
    pub(super) kinds: BTreeSet<String>,
    pub(super) verdict: Option<String>,
    #[serde(default)]
    pub(super) allowed: BTreeSet<String>,
    #[serde(default)]
    pub(super) codes: BTreeSet<String>,
    #[serde(default)]
    pub(super) watch_seconds: u32,
    #[serde(default = "oldest_python")]
    pub(super) min_python: String,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) needs: Option<String>,
}

fn oldest_python() -> String {
    "3.8".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    service: Vec<Service>,
}

/// Reads the labels.
pub(super) fn read(path: &Path) -> Result<Vec<Service>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("cannot make sense of {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Service>> {
    let corpus: Corpus = toml::from_str(text)?;
    let mut names = BTreeSet::new();
    for service in &corpus.service {
        let name = &service.name;
        if !names.insert(name) {
            bail!("{name} is there twice");
        }
        if service.kinds.is_empty() {
            bail!("{name} has no kinds");
        }
        for kind in service.kinds.iter().chain(&service.allowed).chain(&service.verdict) {
            if Kind::ALL.iter().all(|known| known.key() != kind) {
                bail!("{name} names the kind {kind}, which does not exist");
            }
        }
        for code in &service.codes {
            if Code::ALL.iter().all(|known| known.key() != code) {
                bail!("{name} names the finding {code}, which does not exist");
            }
        }
    }
    Ok(corpus.service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked_against_what_can_be_said() {
        let check = |more: &str, expected: bool| {
            let text = format!("[[service]]\nname = \"a\"\nscript = \"a.py\"\n{more}");
            assert_eq!(parse(&text).is_ok(), expected, "{more}");
        };
        check("kinds = [\"steady\"]", true);
        check("kinds = [\"steady\"]\ncodes = [\"SW121\"]\nenv = { A = \"b\" }", true);
        check("kinds = []", false);
        check("kinds = [\"leaky\"]", false);
        check("kinds = [\"steady\"]\ncodes = [\"SW999\"]", false);
        check("kinds = [\"steady\"]\nkind = \"steady\"", false);
        check(
            "kinds = [\"steady\"]\n[[service]]\nname = \"a\"\nscript = \"b.py\"\nkinds = [\"steady\"]",
            false,
        );
    }

    #[test]
    fn the_committed_labels_are_sound() {
        let services = read(&crate::workspace::root().join("tests/corpus/corpus.toml")).unwrap();
        for kind in ["steady", "retention", "pinned", "python-growth", "native-growth", "mapped-growth"] {
            let count = services.iter().filter(|service| service.kinds.contains(kind)).count();
            assert!(count >= 3, "only {count} services are {kind}");
        }
    }
}
