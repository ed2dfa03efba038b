//! docs/advise.md: what `slackwater advise` prints where nothing is known of the service and the machine.
//!
//! Invariant: every line of it comes from the recipes themselves, whose tests run them.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use slackwater_tune::presets::{Pymalloc, presets, pymalloc};
use slackwater_tune::recipes::{File, Place, Request, Syntax, recipe};
use slackwater_tune::{Allocator, Distribution};

use super::Page;

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate`. -->
# Advice

What `slackwater advise PLACE` prints: the lines that put an allocator under a service for good, each with
its reason. Tests run them: servers with their hooks, units through systemd's own verification, manifests
through their readers, scripts through sh. Where slackwater itself is installed, `slackwater run -- COMMAND`
does the same without any of this.
";

const SETTINGS: &str = "
## Settings

What each allocator is told, here and by `slackwater run`. Ours has its settings built in.

| allocator | setting | value | why |
|---|---|---|---|
";

/// What is shown besides our own library: where it differs by more than a path.
const OTHERS: &[(Place, Allocator)] = &[
    (Place::Docker, Allocator::Jemalloc),
    (Place::Gunicorn, Allocator::Jemalloc),
    (Place::Uvicorn, Allocator::Jemalloc),
    (Place::Celery, Allocator::Jemalloc),
    (Place::SystemWide, Allocator::Jemalloc),
    (Place::Shell, Allocator::Mimalloc),
    (Place::Shell, Allocator::Tcmalloc),
    (Place::Shell, Allocator::Glibc),
    (Place::Systemd, Allocator::Glibc),
];

/// The page.
///
/// # Errors
/// When there is no recipe where there must be one.
pub(super) fn page() -> Result<Page> {
    let mut text = String::from(INTRODUCTION);
    text.push_str(SETTINGS);
    for &allocator in Allocator::ALL {
        for preset in presets(allocator) {
            let _ =
                writeln!(text, "| {allocator} | `{}` | `{}` | {} |", preset.key, preset.value, preset.why);
        }
        if pymalloc(allocator) == Some(Pymalloc::Off) {
            let why = "Python's small objects too, instead of arenas that a single object keeps";
            let _ = writeln!(text, "| {allocator} | `PYTHONMALLOC` | `{}` | {why} |", Pymalloc::Off.value());
        }
    }
    for &place in Place::ALL {
        section(&mut text, place, Allocator::Slackwater)?;
    }
    for &(place, allocator) in OTHERS {
        section(&mut text, place, allocator)?;
    }
    Ok(Page { path: "docs/advise.md".to_owned(), text })
}

fn section(text: &mut String, place: Place, allocator: Allocator) -> Result<()> {
    let request = Request::new(place, allocator, Distribution::Debian);
    let recipe = recipe(&request).with_context(|| format!("no recipe for {allocator} in {place}"))?;
    let more =
        if allocator == Allocator::Slackwater { String::new() } else { format!(" --allocator {allocator}") };
    let _ = write!(text, "\n## `slackwater advise {place}{more}`\n");
    for File { syntax, text: file, .. } in &recipe.files {
        let _ = write!(text, "\n```{}\n{file}```\n", fence(*syntax));
    }
    Ok(())
}

/// What a page calls the syntax.
const fn fence(syntax: Syntax) -> &'static str {
    match syntax {
        Syntax::Shell => "sh",
        other => other.key(),
    }
}
