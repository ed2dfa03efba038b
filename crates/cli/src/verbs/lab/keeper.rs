//! The hidden verb behind `lab`: the process that looks after a service, and the one that becomes it.

use slackwater_lab::keeper;

use crate::args::LabKeeperArgs;
use crate::exit::{Exit, Failure};

/// The words that lead to this verb.
pub(super) const VERB: &str = "lab-keeper";

/// Keeps a service, or becomes it.
///
/// # Errors
/// When it cannot; a service that was started is no matter of this process's exit code.
pub(crate) fn run(args: &LabKeeperArgs) -> Result<Exit, Failure> {
    if args.begin {
        // Exit codes as shells have them for what cannot be executed.
        let error = keeper::begin();
        return Err(Failure::of(Exit::Usage, &error, None));
    }
    keeper::serve(&[VERB, "--begin"]).map(|()| Exit::Done).map_err(|error| {
        Failure::new(Exit::Usage, "this is started by `slackwater lab` itself").caused_by(&error)
    })
}
