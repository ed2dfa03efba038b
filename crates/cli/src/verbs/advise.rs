//! `slackwater advise`.

mod fit;

use std::fs;

use serde_json::json;
use slackwater_report as report;
use slackwater_tune::recipes::{self, HugePages, Place, Recipe, RecipeError, Request};
use slackwater_tune::{Allocator, Distribution};

use super::run::library;
use super::surroundings;
use crate::args::AdviseArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use fit::Fit;

pub(crate) const MANUAL: &str = "\
Prints what puts an allocator under a service for good, where the service is configured: the lines, the \
reason for each as a comment beside it, and the command that shows whether it is in force. Nothing is \
edited, and nothing is installed.\n\n\
Places: docker (lines for a Dockerfile), docker-run, compose, systemd (a drop-in), kubernetes (a patch), \
gunicorn, uvicorn, celery, shell, and system-wide with its warnings. Each file of the answer begins with a \
comment that has its name; where the answer is one file, it can be redirected into it.\n\n\
Allocators: slackwater is ours, with everything set and safe across forks. For jemalloc as distributions \
ship it the advice has the settings and the hook that starts its background thread again in forked \
workers, without which an idle worker keeps its peak. mimalloc and tcmalloc are fast, and keep it too. For \
those who must stay on glibc there are its best settings and a trim now and then.\n\n\
With --pid or --name the advice is fitted to a running service: its server, app, unit, Python, distribution \
and limit; that only reads. Passed on to another machine, leave them out.\n\n\
Examples:\n  \
  slackwater advise                                  the best line for this machine, and the places\n  \
  slackwater advise docker                           lines for a Dockerfile\n  \
  slackwater advise gunicorn --allocator jemalloc    Debian's jemalloc, with the hook that it needs\n  \
  slackwater advise systemd --name gunicorn          a drop-in for the unit of a running service\n  \
  slackwater advise docker --distro alpine           where the C library is musl";

/// Prints the advice.
///
/// # Errors
/// When the service cannot be looked at, or the allocator does not run there.
pub(crate) fn run(args: &AdviseArgs, printer: &Printer) -> Result<Exit, Failure> {
    let fit = match (args.pid, &args.name) {
        (None, None) => None,
        (pid, name) => Some(fit::of_service(pid, name.clone())?),
    };
    let place = args.place.or_else(|| fit.as_ref().map(Fit::place));
    let request = request(args, place.unwrap_or(Place::Shell), fit);
    if place.is_none() && !args.json {
        printer.data(&recipes::overview(&request))?;
        return Ok(Exit::Done);
    }
    let recipe = recipes::recipe(&request).map_err(|error| refused(&error))?;
    if args.json {
        printer.data(&report::json::line(&document(&request, &recipe)))?;
        return Ok(Exit::Done);
    }
    for note in &recipe.notes {
        printer.note(&format!("note: {note}"));
    }
    let texts: Vec<&str> = recipe.files.iter().map(|file| file.text.as_str()).collect();
    printer.data(&texts.join("\n"))?;
    Ok(Exit::Done)
}

fn request(args: &AdviseArgs, place: Place, fit: Option<Fit>) -> Request {
    let found = fit.as_ref().and_then(|fit| fit.distribution);
    // What an image is made from, the machine on which we are asked does not tell.
    let is_image = matches!(place, Place::Docker | Place::DockerRun | Place::Compose | Place::Kubernetes);
    let here = || if is_image { None } else { distribution_here() };
    let distribution = args.distro.or(found).or_else(here).unwrap_or(Distribution::Debian);
    let default =
        if distribution == Distribution::Alpine { Allocator::Jemalloc } else { Allocator::Slackwater };
    Request {
        place,
        allocator: args.allocator.unwrap_or(default),
        distribution,
        huge_pages: if surroundings::read().huge_pages_always {
            HugePages::Always
        } else {
            HugePages::OnRequest
        },
        library: library::ours().ok().map(|path| path.display().to_string()),
        service: fit.map(|fit| fit.service).unwrap_or_default(),
    }
}

fn distribution_here() -> Option<Distribution> {
    Distribution::of_os_release(&fs::read_to_string("/etc/os-release").ok()?)
}

fn document(request: &Request, recipe: &Recipe) -> serde_json::Value {
    let files: Vec<_> = recipe
        .files
        .iter()
        .map(|file| json!({ "name": file.name, "syntax": file.syntax.key(), "text": file.text }))
        .collect();
    json!({
        "schema": 1,
        "place": request.place.key(),
        "allocator": request.allocator.key(),
        "distribution": request.distribution.key(),
        "files": files,
        "notes": recipe.notes,
    })
}

fn refused(error: &RecipeError) -> Failure {
    Failure::new(Exit::Target, error).hint(error.hint())
}
