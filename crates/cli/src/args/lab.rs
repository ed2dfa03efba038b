//! The command line of `lab`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use slackwater_base::Pid;

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
    #[command(long_about = crate::verbs::lab::INIT_MANUAL)]
    /// Write a plan for a command or for a running service
    Init(LabInitArgs),
    #[command(long_about = crate::verbs::lab::RUN_MANUAL)]
    /// Run an experiment, or go on with one that was broken off
    Run(LabRunArgs),
    #[command(long_about = crate::verbs::lab::REPORT_MANUAL)]
    /// Print the table of a result again, and draw its page anew
    Report(LabReportArgs),
    #[command(long_about = crate::verbs::lab::CHECK_MANUAL)]
    /// Hold a result against limits, for CI
    Check(LabCheckArgs),
    #[command(long_about = crate::verbs::lab::TUNE_MANUAL)]
    /// Search the allocator and the settings that suit a service best
    Tune(LabTuneArgs),
}

/// Arguments of `lab init`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("service").required(true).multiple(false))]
pub(crate) struct LabInitArgs {
    /// Take over the service that this process is part of
    #[arg(short, long, value_name = "PID", value_parser = super::parse_pid, group = "service")]
    pub(crate) pid: Option<Pid>,

    /// Take over the running service of this name
    #[arg(short = 'N', long, value_name = "NAME", group = "service")]
    pub(crate) name: Option<String>,

    /// Where the plan goes
    #[arg(short, long, value_name = "FILE", default_value = "lab.toml")]
    pub(crate) output: PathBuf,

    /// Replace a plan that is there
    #[arg(short, long)]
    pub(crate) force: bool,

    /// The command that starts the service
    #[arg(last = true, value_name = "COMMAND", group = "service")]
    pub(crate) command: Vec<OsString>,
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

/// Arguments of `lab report`.
#[derive(Args, Debug)]
pub(crate) struct LabReportArgs {
    /// The folder of a result
    #[arg(value_name = "FOLDER")]
    pub(crate) result: PathBuf,

    /// Where the page goes; beside the result unless said
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Print JSON, schema 1
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `lab check`.
#[derive(Args, Debug)]
pub(crate) struct LabCheckArgs {
    /// The folder of a result, or its plan
    #[arg(value_name = "FOLDER")]
    pub(crate) result: PathBuf,

    /// A limit beside those of the plan; may be repeated
    #[arg(short, long = "limit", value_name = "MEASURE[:ARM]<=VALUE")]
    pub(crate) limits: Vec<String>,
}

/// Arguments of `lab tune`.
#[derive(Args, Debug)]
pub(crate) struct LabTuneArgs {
    /// The plan; its first arm is what the others are compared with
    #[arg(value_name = "PLAN", default_value = "lab.toml")]
    pub(crate) plan: PathBuf,

    /// How long the search may take (30m, 2h)
    #[arg(short, long, value_name = "DURATION", value_parser = crate::duration::parse)]
    pub(crate) budget: Duration,

    /// What is wanted; least memory within 3 % CPU unless said
    #[arg(long, value_name = "WORDS")]
    pub(crate) objective: Option<String>,

    /// The folder of the stages' results; beside the plan and named after it unless said
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of the process that looks after a service. Nobody types them.
#[derive(Args, Debug)]
pub(crate) struct LabKeeperArgs {
    /// Become the service
    #[arg(long)]
    pub(crate) begin: bool,
}
