//! The command line of `lab`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `lab`.
#[derive(Args, Debug)]
pub(crate) struct LabArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: LabVerb,
}

/// The verbs of `lab`.
#[derive(Subcommand, Debug)]
pub(crate) enum LabVerb {
    #[command(long_about = crate::verbs::lab::RUN_MANUAL)]
    /// Run an experiment, or go on with one that was broken off
    Run(LabRunArgs),
}

/// Arguments of `lab run`.
#[derive(Args, Debug)]
pub(crate) struct LabRunArgs {
    /// The plan
    #[arg(value_name = "PLAN", default_value = "lab.toml")]
    pub(crate) plan: PathBuf,

    /// The folder of the result; beside the plan and named after it unless said
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,

    /// Begin anew: a result that is there is replaced
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Arguments of the process that looks after a service. Nobody types them.
#[derive(Args, Debug)]
pub(crate) struct LabKeeperArgs {
    /// Become the service
    #[arg(long)]
    pub(crate) begin: bool,
}
