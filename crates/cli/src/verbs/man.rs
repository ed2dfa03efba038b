//! `slackwater man DIRECTORY`: `slackwater.1` and a page for each verb.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{Exit, Failure};

pub(crate) fn run(directory: &Path) -> Result<Exit, Failure> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map(|()| Exit::Done)
        .map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot write man pages to {}", directory.display()))
                .caused_by(&error)
        })
}
