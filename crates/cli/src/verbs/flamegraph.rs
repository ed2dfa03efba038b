//! `slackwater flamegraph`.

use slackwater_report::allocations::Measure;
use slackwater_report::{flamegraph, visible};

use super::{capture, output};
use crate::args::FlamegraphArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Draws who holds the memory: one HTML file that needs no network and can be sent to anybody. In it are the \
high-water mark of all processes together (as it opens), what was not given back, and all that was handed \
out; RSS and live memory over time, of which a part can be chosen; each process by itself, or split by \
process, thread, or the request or task that was served; search, focus, only what \
matches, and the callers of each line.\n\n\
Every number of a sampled recording says what the truth lies within in 95 of 100 recordings. Names of \
functions and files are in the page; contents of memory, arguments and environment are not in a capture \
at all.\n\n\
Examples:\n  \
  slackwater flamegraph gunicorn.slackwater            writes gunicorn.html\n  \
  slackwater flamegraph --leaks -o leaks.html gunicorn.slackwater";

/// Draws the page.
///
/// # Errors
/// When the file is no capture, or the page cannot be written.
pub(crate) fn run(args: &FlamegraphArgs, printer: &Printer) -> Result<Exit, Failure> {
    let profile = capture::over_time(&args.capture, args.labels)?;
    let measure = args.measure.or(Measure::Peak);
    let name = args.capture.file_name().unwrap_or_default().to_string_lossy();
    let html = flamegraph::page(&name, &profile.value, &profile.gaps, measure);
    let page = args.output.clone().unwrap_or_else(|| output::beside(&args.capture, "html"));
    output::write(&page, args.force, html.as_bytes())?;
    printer.note(&format!("page: {}", visible(&page.display().to_string())));
    Ok(Exit::Done)
}
