//! `slackwater stats`.

use slackwater_report::{allocations, json};

use super::capture;
use crate::args::StatsArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Says what each process of a recorded service allocated, kept and at most held, how it ended, and what of \
the recording is missing.\n\n\
`live at end` is what was not given back when the process, or the recording, ended; `live peak` is the \
most that was live at a time, and `RSS peak` the most memory that it had resident. How memory was asked for \
follows: by `malloc` and its kin, by `mmap`, and where it was recorded with `--python-allocators` by each \
domain of Python's own allocators, whose calls are then not told as `malloc`. Where web or task \
frameworks were recorded, their endpoints follow: see `slackwater help table`.\n\n\
Examples:\n  \
  slackwater stats gunicorn.slackwater\n  \
  slackwater stats --json gunicorn.slackwater";

/// Prints the figures.
///
/// # Errors
/// When the file is no capture.
pub(crate) fn run(args: &StatsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let profile = capture::profile(&args.read)?;
    let text = if args.json {
        json::line(&allocations::statistics_json(&profile.value, &profile.gaps))
    } else {
        allocations::statistics(&profile.value, &profile.gaps, printer.style())
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}
