//! A recording for other people's viewers.
//!
//! Invariant: what is exported adds up to what the table of the same capture says. Estimates go out as
//! whole numbers; that they are estimates is said in the document where its format has room for words.
//! What would be larger than a viewer opens is refused.

mod collapsed;
mod pprof;
mod room;
mod speedscope;

pub use collapsed::collapsed;
pub use pprof::{Function, Label, Line, Location, PprofProfile, Sample, ValueType, pprof};
pub use room::ExportError;
pub use speedscope::speedscope;

use slackwater_profile::{Frame, ProcessProfile, Thread};

use self::room::Room;
use crate::allocations::{NO_PYTHON, who};
use crate::visible;

pub(crate) fn process_name(process: &ProcessProfile) -> String {
    format!("{} {}", visible(&process.program), who(process))
}

pub(crate) fn thread_name(thread: &Thread) -> String {
    match (&thread.name, thread.tid) {
        (_, 0) => "other threads".to_owned(),
        (Some(name), tid) => format!("thread {} {tid}", visible(name)),
        (None, tid) => format!("thread {tid}"),
    }
}

/// `function (file:line)`.
fn frame_name(frame: &Frame) -> String {
    match (frame.file.is_empty(), frame.line) {
        (true, _) => visible(&frame.function).into_owned(),
        (false, 0) => format!("{} ({})", visible(&frame.function), visible(&frame.file)),
        (false, line) => format!("{} ({}:{line})", visible(&frame.function), visible(&frame.file)),
    }
}
