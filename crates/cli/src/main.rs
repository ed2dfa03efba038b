//! `slackwater`: words, flags, exit codes. A verb only wires; what it knows lives in the libraries.

mod args;
mod duration;
mod env;
mod exit;
mod printer;
mod screen;
mod verbs;

use std::panic;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Verb};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.color, cli.quiet);
    match panic::catch_unwind(panic::AssertUnwindSafe(|| run(&cli.verb, &printer))) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failure)) => {
            printer.failure(&failure);
            failure.exit.into()
        }
        Err(_) => {
            // The panic hook has printed where. Nothing is held in the target at this point: what
            // enters a process undoes itself without us.
            printer.failure(
                &Failure::new(Exit::Bug, "slackwater stopped at a bug of its own")
                    .hint("please report the lines above; the service was left as it was"),
            );
            Exit::Bug.into()
        }
    }
}

fn run(verb: &Verb, printer: &Printer) -> Result<Exit, Failure> {
    match verb {
        Verb::Diagnose(args) => verbs::diagnose::run(args, printer),
        Verb::Trim(args) => verbs::trim::run(args, printer),
        Verb::Advise(args) => verbs::advise::run(args, printer),
        Verb::Run(args) => verbs::run::run(args, printer),
        Verb::Verify(args) => verbs::verify::run(args, printer),
        Verb::Doctor(args) => verbs::doctor::run(args, printer),
        Verb::Lab(args) => verbs::lab::run(args, printer),
        Verb::Record(args) => verbs::record::run(args, printer),
        Verb::Mark(args) => verbs::mark::run(args, printer),
        Verb::Flamegraph(args) => verbs::flamegraph::run(args, printer),
        Verb::Table(args) => verbs::table::run(args, printer),
        Verb::Stats(args) => verbs::stats::run(args, printer),
        Verb::Live(args) => verbs::live::run(args, printer),
        Verb::Export(args) => verbs::export::run(args, printer),
        Verb::LabKeeper(args) => verbs::lab::keep(args),
        Verb::Recorder(args) => verbs::recorder::run(args, printer),
        Verb::Completions { shell } => verbs::completions::run(*shell, printer),
        Verb::Man { directory } => verbs::man::run(directory),
    }
}
