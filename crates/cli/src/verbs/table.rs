//! `slackwater table`.

use slackwater_report::allocations::{self, Measure};
use slackwater_report::json;

use super::capture;
use crate::args::TableArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Says who allocated, by line of code, from a capture that `slackwater record` has written; `--leaks` says \
whose blocks were not given back when the process, or the recording, ended. All processes of the service \
are added up; `slackwater stats` tells them apart.\n\n\
Bytes of a sampled recording are estimates: the second column is what the truth lies within in 95 of 100 \
recordings. `--stacks` has a row for each whole stack.\n\n\
A Python program that ends in order frees nearly everything before, and so does a server that is asked to \
stop (SIGTERM). `--leaks` says most of processes that ended at once (SIGKILL, os._exit), and of those that \
still ran when the recording ended: when slackwater is killed, they go on and the capture can be read.\n\n\
A capture that was cut off or damaged is read as far as it goes, and what is missing is said. Exit code 5 \
when the file is no capture that can be read.\n\n\
Examples:\n  \
  slackwater table gunicorn.slackwater\n  \
  slackwater table --leaks --stacks -n 5 job.slackwater";

/// Prints the table.
///
/// # Errors
/// When the file is no capture.
pub(crate) fn run(args: &TableArgs, printer: &Printer) -> Result<Exit, Failure> {
    let profile = capture::profile(&args.capture)?;
    let measure = if args.leaks { Measure::Live } else { Measure::Allocated };
    let text = if args.json {
        json::line(&allocations::by_stack_json(&profile.value, &profile.gaps, measure, args.limit))
    } else {
        let style = printer.style();
        allocations::by_stack(&profile.value, &profile.gaps, measure, args.stacks, args.limit, style)
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}
