//! `slackwater mark`.

use std::path::PathBuf;

use slackwater_base::Pid;
use slackwater_collect::{MarkError, UnderWay, mark, under_way};
use slackwater_procfs::Root;
use slackwater_report::visible;

use crate::args::MarkArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Gives this moment a name in a recording under way: a deployment, the start of a load test, the moment when \
a cache was cleared. Reports show it.\n\n\
Without an option it is the one recording of this host; --pid means the recording that this process is \
in, --capture the file. The mark is appended to the file: nothing is asked of the recorder, and nothing of \
the service.\n\n\
Exit code 4 when nothing is being recorded, 3 when the capture belongs to somebody else.\n\n\
Examples:\n  \
  slackwater mark 'deployed 1.4'\n  \
  slackwater mark --pid 4711 'load test begins'\n  \
  slackwater mark --capture gunicorn.slackwater 'cache cleared'";

/// Appends the mark.
///
/// # Errors
/// When there is no such recording, or more than one.
pub(crate) fn run(args: &MarkArgs, printer: &Printer) -> Result<Exit, Failure> {
    let (capture, shown) = match &args.capture {
        Some(capture) => (capture.clone(), capture.clone()),
        None => only(under_way(&Root::host(), args.pid), args.pid)?,
    };
    mark(&capture, &args.name).map_err(|error| {
        let exit = match &error {
            MarkError::Open { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Exit::Denied
            }
            MarkError::NotACapture { .. } => Exit::Damaged,
            MarkError::Ended { .. } => Exit::Target,
            _ => Exit::Usage,
        };
        Failure::of(exit, &error, Some(error.hint()))
    })?;
    let shown = shown.display().to_string();
    printer.note(&format!("slackwater: marked {} in {}", visible(&args.name), visible(&shown)));
    Ok(Exit::Done)
}

/// Where the one recording can be opened, and what its file is called.
fn only(found: Vec<UnderWay>, pid: Option<Pid>) -> Result<(PathBuf, PathBuf), Failure> {
    match &found[..] {
        [one] => Ok((one.descriptor.clone(), one.capture.clone())),
        [] => {
            let error = match pid {
                Some(pid) => format!("process {pid} is in no recording that can be seen"),
                None => "no recording is under way that can be seen".to_owned(),
            };
            Err(Failure::new(Exit::Target, error)
                .hint("be the user who records, or root, or name the file with --capture"))
        }
        several => {
            let files: Vec<String> = several.iter().map(|one| one.capture.display().to_string()).collect();
            let error = format!("{} recordings are under way: {}", several.len(), files.join(", "));
            Err(Failure::new(Exit::Usage, error).hint("name one with --capture or --pid"))
        }
    }
}
