//! `slackwater table`.

use slackwater_report::allocations::{self, Grouping, Measure, Question, Unit};
use slackwater_report::json;

use super::capture;
use crate::args::TableArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Says who allocated, by line of code, from a capture that `slackwater record` has written; `--leaks` says \
whose blocks were not given back when the process, or the recording, ended, and `--peak` what was live \
when the processes together held most. All processes of the service are added up; `--by-worker` tells them \
apart.\n\n\
Bytes of a sampled recording are estimates: the second column is what the truth lies within in 95 of 100 \
recordings. `--stacks` has a row for each whole stack.\n\n\
`--by-endpoint` has a row for each function that answered requests or did tasks: the one that the innermost \
framework on the stack called (Flask, Quart, Django, Starlette, FastAPI, aiohttp, Tornado, Sanic, Bottle; \
Celery, RQ, Dramatiq, Huey), or the application that a WSGI or ASGI server called; decorators and middleware \
are passed over. Nothing but names of functions and files is looked at, so two routes to one function are \
one, and what a thread of the endpoint's own does is told as having no request on the stack.\n\n\
A Python program that ends in order frees nearly everything before, and so does a server that is asked to \
stop (SIGTERM): look at it before that with `--leaks --until -30s`, which is what was live half a minute \
before the end. With `--from 5m` too, what was allocated in the first five minutes, caches and imports among \
it, does not count.\n\n\
A capture that was cut off or damaged is read as far as it goes, and what is missing is said. Exit code 5 \
when the file is no capture that can be read.\n\n\
Examples:\n  \
  slackwater table gunicorn.slackwater\n  \
  slackwater table --leaks --from 5m --until -30s gunicorn.slackwater\n  \
  slackwater table --leaks --stacks -n 5 job.slackwater\n  \
  slackwater table --by-endpoint --peak gunicorn.slackwater";

/// Prints the table.
///
/// # Errors
/// When the file is no capture.
pub(crate) fn run(args: &TableArgs, printer: &Printer) -> Result<Exit, Failure> {
    let profile = capture::profile(&args.read)?;
    let unit = match (args.stacks, args.by_endpoint) {
        (true, _) => Unit::Stack,
        (_, true) => Unit::Endpoint,
        _ => Unit::Line,
    };
    let question = Question {
        measure: args.measure.or(Measure::Allocated),
        grouping: Grouping { unit, by_process: args.by_worker },
        limit: args.limit,
    };
    let text = if args.json {
        json::line(&allocations::by_stack_json(&profile.value, &profile.gaps, &question))
    } else {
        allocations::by_stack(&profile.value, &profile.gaps, &question, printer.style())
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}
