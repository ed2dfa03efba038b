//! `slackwater lab`.

mod keeper;
mod observe;
mod progress;
mod run;

use crate::args::{LabArgs, LabVerb};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) use keeper::run as keep;
pub(crate) use run::MANUAL as RUN_MANUAL;

pub(crate) const MANUAL: &str = "\
Load-tests a service under several allocators, settings or servers, and says which of them needs how much \
memory, at what cost, and with what certainty.\n\n\
A plan, lab.toml, names the service, the requests, and the arms: the variants that are compared. Every arm \
has its turn in every repetition, in random order; the first arm has a second turn each time (the null \
arm), which shows what comparing a thing with itself looks like on this machine. Everything is measured \
from outside the service, on one clock.\n\n\
Whatever ends `lab` (Ctrl-C, SIGKILL, a crash), nothing of a service stays: no process, port or control \
group. What was measured before is kept, and the same command goes on from there.\n\n\
Examples:\n  \
  slackwater lab run lab.toml";

/// Does what the words behind `lab` say.
///
/// # Errors
/// As the verb of the file says.
pub(crate) fn run(args: &LabArgs, printer: &Printer) -> Result<Exit, Failure> {
    match &args.verb {
        LabVerb::Run(args) => run::run(args, printer),
    }
}
