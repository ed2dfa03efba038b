//! `slackwater lab`.

mod check;
mod init;
mod keeper;
mod observe;
mod progress;
mod report;
mod run;
mod tune;

use crate::args::{LabArgs, LabVerb};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) use check::MANUAL as CHECK_MANUAL;
pub(crate) use init::MANUAL as INIT_MANUAL;
pub(crate) use keeper::run as keep;
pub(crate) use report::MANUAL as REPORT_MANUAL;
pub(crate) use run::MANUAL as RUN_MANUAL;
pub(crate) use tune::MANUAL as TUNE_MANUAL;

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
  slackwater lab init -- gunicorn --workers 2 app:app\n  \
  slackwater lab run lab.toml\n  \
  slackwater lab report lab.lab\n  \
  slackwater lab tune lab.toml --budget 30m\n  \
  slackwater lab check lab.toml --limit 'idle_rss:slackwater<=0.5x'";

/// Does what the words behind `lab` say.
///
/// # Errors
/// As the verb of the file says.
pub(crate) fn run(args: &LabArgs, printer: &Printer) -> Result<Exit, Failure> {
    match &args.verb {
        LabVerb::Init(args) => init::run(args, printer),
        LabVerb::Tune(args) => tune::run(args, printer),
        LabVerb::Check(args) => check::run(args, printer),
        LabVerb::Run(args) => run::run(args, printer),
        LabVerb::Report(args) => report::run(args, printer),
    }
}
