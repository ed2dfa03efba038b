//! What to type to have an arm for good: the command as it was measured, and where it leaves its marks.
//!
//! Invariant: every line here starts the service with what was measured, settings and all. Advice that
//! would set something else is not given.

use std::path::PathBuf;

use slackwater_lab::result::ArmAsRun;
use slackwater_tune::environment::{self, Plan, Presets};
use slackwater_tune::presets::Pymalloc;
use slackwater_tune::recipes::{self, Place, Request};
use slackwater_tune::{Allocator, Distribution, settings};

use crate::visible;

/// Something to copy, with what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lines {
    /// What it is and where it goes.
    pub(super) about: String,
    /// The text.
    pub(super) text: String,
}

/// What `slackwater run` was told, and the command that it was given.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Start<'a> {
    choice: Option<&'a str>,
    settings: Vec<&'a str>,
    pymalloc: Option<&'a str>,
    bare: bool,
    /// Options that are not known here.
    others: bool,
    command: &'a [String],
}

impl<'a> Start<'a> {
    /// `None` when the arm was started as it is.
    fn of(run: &'a ArmAsRun) -> Option<Self> {
        let [program, verb, rest @ ..] = run.command.as_slice() else { return None };
        if program.rsplit('/').next() != Some("slackwater") || verb != "run" {
            return None;
        }
        let end = rest.iter().position(|word| word == "--")?;
        let mut start = Self { command: &rest[end + 1..], ..Self::default() };
        let mut words = rest[..end].iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (option, joined) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            };
            match option {
                "--bare" => start.bare = true,
                "--allocator" => start.choice = joined.or_else(|| words.next()),
                "--set" => start.settings.extend(joined.or_else(|| words.next())),
                "--pymalloc" => start.pymalloc = joined.or_else(|| words.next()),
                _ => start.others = true,
            }
        }
        Some(start)
    }

    fn allocator(&self) -> Option<Allocator> {
        let choice = self.choice?;
        Allocator::ALL.iter().copied().find(|one| one.key() == choice)
    }

    /// Whether it runs as advice puts it: the allocator with its presets.
    fn is_as_advised(&self) -> bool {
        self.settings.is_empty() && self.pymalloc.is_none() && !self.bare && !self.others
    }
}

/// The lines for a terminal: the command, and the verb that has more.
pub(super) fn commands(run: &ArmAsRun) -> Vec<String> {
    let mut lines = vec![command(run)];
    if let Some(start) = Start::of(run)
        && let Some(allocator) = start.allocator()
        && start.is_as_advised()
    {
        lines.push(format!("slackwater advise --allocator {allocator}"));
    }
    lines
}

/// Everything that can be copied for an arm.
pub(super) fn all(run: &ArmAsRun) -> Vec<Lines> {
    let mut all = vec![Lines {
        about: "the command as it was measured; {port} is yours".to_owned(),
        text: command(run),
    }];
    let Some(start) = Start::of(run) else { return all };
    let Some(allocator) = start.allocator() else { return all };
    if !start.is_as_advised() {
        all.extend(variables(&start, allocator));
        return all;
    }
    for (place, about) in [
        (Place::Docker, "for an image made from Debian"),
        (Place::Systemd, "for a unit of systemd"),
        (Place::Kubernetes, "for a deployment in Kubernetes"),
        (Place::Shell, "for a start script"),
    ] {
        let Ok(recipe) = recipes::recipe(&Request::new(place, allocator, Distribution::Debian)) else {
            continue;
        };
        for file in recipe.files {
            all.push(Lines {
                about: format!("{about}: {}", file.name),
                text: file.text.trim_end().to_owned(),
            });
        }
    }
    all
}

/// The same without our command: variables alone.
fn variables(start: &Start<'_>, allocator: Allocator) -> Option<Lines> {
    let library = match allocator {
        Allocator::Glibc => None,
        Allocator::Slackwater => Some(recipes::INSTALLED),
        other => Some(other.package(Distribution::Debian)?.library),
    };
    if start.others {
        return None;
    }
    let assignments: Result<Vec<_>, _> =
        start.settings.iter().map(|text| settings::parse(allocator, text)).collect();
    let plan = Plan {
        library: library.map(PathBuf::from),
        allocator: Some(allocator),
        assignments: assignments.ok()?,
        presets: if start.bare { Presets::LeftOut } else { Presets::Applied },
        pymalloc: match start.pymalloc {
            Some(word) => Some(Pymalloc::ALL.iter().copied().find(|one| one.key() == word)?),
            None => None,
        },
        ..Plan::default()
    };
    let changes = environment::compose(&|_| None, &plan).ok()?;
    let lines: Vec<String> = changes
        .variables
        .iter()
        .filter_map(|(name, value)| {
            Some(format!("export {name}={}", quoted(&value.as_ref()?.to_string_lossy())))
        })
        .collect();
    (!lines.is_empty()).then(|| Lines {
        about: "the same by variables alone, with the library where Debian has it".to_owned(),
        text: lines.join("\n"),
    })
}

/// The command line with the variables that the plan gives it.
fn command(run: &ArmAsRun) -> String {
    let is_identifier = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let assignment = |(name, value): (&String, &String)| match is_identifier(name) {
        true => format!("{name}={}", quoted(value)),
        false => quoted(&format!("{name}={value}")),
    };
    let mut words: Vec<String> = run.environment.iter().map(assignment).collect();
    let mut command = run.command.iter();
    if Start::of(run).is_some() {
        // Where the runner's own binary lies is nobody's business.
        words.extend(command.by_ref().take(1).map(|_| "slackwater".to_owned()));
    }
    words.extend(command.map(|word| quoted(word)));
    words.join(" ")
}

/// A word as a shell takes it, made visible.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,{}".contains(c);
    let shown = visible(word);
    if !word.is_empty() && word.chars().all(is_plain) {
        shown.into_owned()
    } else {
        format!("'{}'", shown.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(words: &[&str]) -> ArmAsRun {
        ArmAsRun {
            name: "arm".to_owned(),
            command: words.iter().map(|&word| word.to_owned()).collect(),
            environment: [("LOG_LEVEL".to_owned(), "a b".to_owned())].into(),
            is_null_of: None,
        }
    }

    #[test]
    fn the_command_is_the_one_that_was_measured_and_a_shell_takes_it() {
        let run = arm(&["/opt/slackwater", "run", "--allocator", "slackwater", "--", "gunicorn", "it's:app"]);
        assert_eq!(
            commands(&run),
            [
                r"LOG_LEVEL='a b' slackwater run --allocator slackwater -- gunicorn 'it'\''s:app'",
                "slackwater advise --allocator slackwater"
            ]
        );
        assert!(all(&run).iter().any(|lines| lines.text.contains("ENV LD_PRELOAD")), "{:?}", all(&run));
    }

    #[test]
    fn advice_that_would_set_something_else_is_not_given() {
        let run = arm(&[
            "slackwater",
            "run",
            "--allocator",
            "jemalloc",
            "--bare",
            "--set",
            "narenas=1",
            "--set=tcache=false",
            "--pymalloc",
            "keep",
            "--",
            "app",
        ]);
        assert_eq!(commands(&run).len(), 1);
        let all = all(&run);
        let [_, variables] = all.as_slice() else { panic!("{all:?}") };
        assert!(variables.text.contains("export MALLOC_CONF=narenas:1,tcache:false"), "{}", variables.text);
        assert!(!variables.text.contains("PYTHONMALLOC"), "{}", variables.text);
        assert!(!variables.text.contains("dirty_decay_ms"), "{}", variables.text);
    }

    #[test]
    fn a_service_started_as_it_is_stays_as_it_is() {
        let run = arm(&["gunicorn", "--", "slackwater"]);
        assert_eq!(commands(&run), ["LOG_LEVEL='a b' gunicorn -- slackwater"]);
        assert_eq!(all(&run).len(), 1);
    }
}
