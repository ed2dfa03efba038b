//! `slackwater export`.

use std::path::Path;

use slackwater_report::allocations::Measure;
use slackwater_report::{export, visible};

use super::{capture, output};
use crate::args::{ExportArgs, Format};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Writes a recording in the format of another viewer. speedscope gets a profile for each process, weighed in \
bytes of the high-water mark, of what was not given back (--leaks), or of all that was handed out \
(--allocated); so do collapsed stacks. pprof gets all of them as sample types (alloc_space, inuse_space, \
peak_space, ...), with process, thread and endpoint as labels.\n\n\
These formats have no room for intervals: of a sampled recording they hold the estimates. `slackwater \
table` says how far each may be off. What is missing from a capture that was cut off or damaged is said on \
stderr.\n\n\
Examples:\n  \
  slackwater export --format speedscope gunicorn.slackwater      for https://www.speedscope.app\n  \
  slackwater export --format pprof -o heap.pb.gz gunicorn.slackwater && go tool pprof heap.pb.gz\n  \
  slackwater export --format collapsed --leaks -o - gunicorn.slackwater | flamegraph.pl > leaks.svg";

/// Writes the document.
///
/// # Errors
/// When the file is no capture, or the document cannot be written.
pub(crate) fn run(args: &ExportArgs, printer: &Printer) -> Result<Exit, Failure> {
    let profile = capture::profile(&args.read)?;
    let measure = args.measure.or(Measure::Peak);
    let name = args.read.capture.file_name().unwrap_or_default().to_string_lossy();
    let (document, ending) = match args.format {
        Format::Speedscope => {
            (export::speedscope(&name, &profile.value, measure).map(String::into_bytes), "speedscope.json")
        }
        Format::Collapsed => (export::collapsed(&profile.value, measure).map(String::into_bytes), "txt"),
        Format::Pprof => (export::pprof(&profile.value, &profile.gaps), "pb.gz"),
    };
    let bytes = document.map_err(|error| Failure::of(Exit::Usage, &error, Some(error.hint())))?;
    if args.output.as_deref() == Some(Path::new("-")) {
        printer.bytes(&bytes)?;
    } else {
        let file = args.output.clone().unwrap_or_else(|| output::beside(&args.read.capture, ending));
        output::write(&file, args.force, &bytes)?;
        printer.note(&format!("{}: {}", args.format.key(), visible(&file.display().to_string())));
    }
    // Most of these formats have no place for it.
    for gap in &profile.gaps {
        printer.warn(&format!("missing: {}: {}", gap.subject, gap.cause));
    }
    Ok(Exit::Done)
}
