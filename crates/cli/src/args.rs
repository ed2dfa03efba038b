//! The command line: verbs, flags and the manual that `--help` prints.

mod lab;
mod moment;
mod recording;
mod reports;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use slackwater_base::{Bytes, Pid};
use slackwater_diagnose::MallocKind;
use slackwater_tune::presets::Pymalloc;
use slackwater_tune::recipes::Place;
use slackwater_tune::{Allocator, Choice, Distribution};

pub(crate) use self::lab::{
    LabArgs, LabCheckArgs, LabInitArgs, LabKeeperArgs, LabReportArgs, LabRunArgs, LabTuneArgs, LabVerb,
};
pub(crate) use self::recording::{FileArgs, MarkArgs, RecordArgs, RecorderArgs};
pub(crate) use self::reports::{
    ExportArgs, FlamegraphArgs, Format, Labels, LiveArgs, Read, StatsArgs, TableArgs,
};
use crate::duration;

/// Why does a Python service hold its memory, and how to get it back.
#[derive(Parser, Debug)]
#[command(
    name = "slackwater",
    version,
    about,
    long_about = "Why does a Python service (gunicorn, uvicorn, celery, ...) hold its memory, and how to get it back.\n\n\
        Slackwater looks at every worker of a running service from outside, splits its resident memory into\n\
        what the program still holds and what its allocator merely keeps, says which of the two grows, and\n\
        hands back what is free.",
    after_help = EXIT_CODES,
    max_term_width = 100,
    infer_subcommands = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,

    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// When to use colour (NO_COLOR and CLICOLOR_FORCE are honoured)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 a threshold you set was crossed; 2 usage; 3 no permission;\n\
    4 target gone or unsupported; 5 capture damaged; 6 a bug of slackwater; 130 stopped by Ctrl-C.\n\
    `run` and `record` end as their command does.";

/// When to use colour.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ColorChoice {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    #[command(long_about = crate::verbs::diagnose::MANUAL)]
    /// Say where every byte of RSS is, and whether it is a leak
    Diagnose(DiagnoseArgs),
    #[command(long_about = crate::verbs::trim::MANUAL)]
    /// Give back the memory that the allocator merely keeps, without a restart
    Trim(TrimArgs),
    #[command(long_about = crate::verbs::advise::MANUAL)]
    /// Print what puts a better allocator under a service for good: Dockerfile, systemd, gunicorn, ...
    Advise(AdviseArgs),
    #[command(long_about = crate::verbs::run::MANUAL)]
    /// Start a service on an allocator that gives memory back
    Run(RunArgs),
    #[command(long_about = crate::verbs::verify::MANUAL)]
    /// Say which malloc really serves each worker, with which settings, and what is not as meant
    Verify(VerifyArgs),
    #[command(long_about = crate::verbs::doctor::MANUAL)]
    /// Say which rights and kernel features are there for a process, and how to get the missing ones
    Doctor(DoctorArgs),
    #[command(long_about = crate::verbs::lab::MANUAL)]
    /// Load-test a service under several allocators, settings or servers
    Lab(LabArgs),
    #[command(long_about = crate::verbs::record::MANUAL)]
    /// Record who allocates, in all processes of a running service or of a command
    Record(RecordArgs),
    #[command(long_about = crate::verbs::mark::MANUAL)]
    /// Give this moment a name in a recording under way
    Mark(MarkArgs),
    #[command(long_about = crate::verbs::flamegraph::MANUAL)]
    /// Draw who holds the memory, as a page for the browser
    Flamegraph(FlamegraphArgs),
    #[command(long_about = crate::verbs::table::MANUAL)]
    /// Say who allocated, or who did not give back, by line of code
    Table(TableArgs),
    #[command(long_about = crate::verbs::stats::MANUAL)]
    /// Say what each recorded process allocated and kept
    Stats(StatsArgs),
    #[command(long_about = crate::verbs::live::MANUAL)]
    /// Watch a recording under way: who holds and who allocates, now
    Live(LiveArgs),
    #[command(long_about = crate::verbs::export::MANUAL)]
    /// Write a recording in the format of another viewer: speedscope, pprof, collapsed stacks
    Export(ExportArgs),
    /// Look after a service that `lab` has started
    #[command(hide = true)]
    LabKeeper(LabKeeperArgs),
    /// Record a service that `run` has started
    #[command(hide = true)]
    Recorder(RecorderArgs),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// Where to
        directory: PathBuf,
    },
}

/// Which processes: exactly one way of naming them.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
pub(crate) struct Target {
    /// A process; any one of a service stands for the whole service. May be repeated
    #[arg(short, long = "pid", value_name = "PID", value_parser = parse_pid, value_delimiter = ',', group = "which")]
    pub(crate) pids: Vec<Pid>,

    /// The service of this name: a program, script or module (gunicorn, manage.py, myapp.wsgi)
    #[arg(short = 'N', long, value_name = "NAME", group = "which")]
    pub(crate) name: Option<String>,

    /// The processes of a control group, by its path below /sys/fs/cgroup or as /proc/PID/cgroup has it
    #[arg(long, value_name = "PATH", group = "which")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Every Python service on this host
    #[arg(short, long, group = "which")]
    pub(crate) all: bool,

    /// With --pid: only the named processes, not the services they belong to
    #[arg(long, requires = "pids")]
    pub(crate) only: bool,
}

/// Arguments of `diagnose`.
#[derive(Args, Debug)]
pub(crate) struct DiagnoseArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Watch for this long and judge growth too (60s, 5m, 1h)
    #[arg(long = "for", visible_short_alias = 'd', visible_alias = "duration", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) watch: Option<Duration>,

    /// One line for every process, and every heap with its arenas
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Ask a foreign jemalloc itself what it holds, in one thread at a safe place
    #[arg(long)]
    pub(crate) enter: bool,

    /// Exit with 1 when slack (trimmable and pinned) is larger than this (500M, 2GiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) fail_above: Option<Bytes>,

    /// Print JSON, schema 1, one object per service and line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `trim`.
#[derive(Args, Debug)]
pub(crate) struct TrimArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Only say what would be given back; nothing is entered
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Also give back the ends of glibc's secondary arenas, which malloc_trim leaves
    #[arg(long)]
    pub(crate) deep: bool,

    /// Trim only processes that would give back at least this much
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    pub(crate) above: Bytes,

    /// Trim again after every such pause, until interrupted
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) every: Option<Duration>,

    /// How long to look for a safe moment in each process before leaving it as it is
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    pub(crate) deadline: Duration,

    /// Print JSON, one object per process and line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `advise`.
#[derive(Args, Debug)]
pub(crate) struct AdviseArgs {
    /// Where the service is configured; without it, an overview, or the place that --pid or --name shows
    #[arg(value_name = "PLACE", value_parser = word(Place::ALL, Place::key))]
    pub(crate) place: Option<Place>,

    /// What the service is to run on; slackwater where that runs
    #[arg(short, long, value_name = "ALLOCATOR", value_parser = word(Allocator::ALL, Allocator::key))]
    pub(crate) allocator: Option<Allocator>,

    /// Where the service runs; for containers debian unless said
    #[arg(long, value_name = "DISTRIBUTION", value_parser = word(Distribution::ALL, Distribution::key))]
    pub(crate) distro: Option<Distribution>,

    /// Fit the advice to the service that this process is part of
    #[arg(short, long, value_name = "PID", value_parser = parse_pid, conflicts_with = "name")]
    pub(crate) pid: Option<Pid>,

    /// Fit the advice to the running service of this name
    #[arg(short = 'N', long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// What it runs on: slackwater, jemalloc, mimalloc, tcmalloc, glibc, or the path of a library
    #[arg(
        short, long, value_name = "ALLOCATOR", default_value = "slackwater",
        value_parser = OsStringValueParser::new().try_map(|word| Choice::of(&word))
    )]
    pub(crate) allocator: Choice,

    /// A setting of the allocator; may be repeated. `help` lists all
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Whether Slackwater's governor gives memory back
    #[arg(long, value_name = "WHETHER", value_parser = word(Governor::ALL, Governor::key))]
    pub(crate) governor: Option<Governor>,

    /// Whether Python's allocator of small objects stays
    #[arg(long, value_name = "WHETHER", value_parser = word(Pymalloc::ALL, Pymalloc::key))]
    pub(crate) pymalloc: Option<Pymalloc>,

    /// Leave the allocator and Python at their own defaults
    #[arg(long)]
    pub(crate) bare: bool,

    /// Take another allocator out of LD_PRELOAD
    #[arg(long)]
    pub(crate) replace: bool,

    /// Record who allocates, into this file; COMMAND.slackwater unless said
    #[arg(
        long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "print_env"
    )]
    pub(crate) record: Option<Option<PathBuf>>,

    /// With --record: see each block of Python's own allocators, too, whatever the allocator
    #[arg(long, requires = "record")]
    pub(crate) python_allocators: bool,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Check everything, print what would be set, and start nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) print_env: bool,

    /// With --print-env: print JSON
    #[arg(long, requires = "print_env")]
    pub(crate) json: bool,

    /// The command that starts the service
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["print_env", "set"])]
    pub(crate) command: Vec<OsString>,
}

slackwater_base::words! {
    /// Whether the governor of our library works.
    Governor {
        /// It does, also where no Python runs.
        On = "on",
        /// It does not: jemalloc's own decay is all there is.
        Off = "off",
    }
}

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Exit with 1 unless this allocator serves every process
    #[arg(short, long, value_name = "ALLOCATOR", value_parser = word(&MallocKind::ALL[..6], MallocKind::key))]
    pub(crate) expect: Option<MallocKind>,

    /// Ask a foreign jemalloc itself, in one thread at a safe place
    #[arg(long)]
    pub(crate) enter: bool,

    /// How long to look for a safe moment in each process before leaving it as it is
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2s", requires = "enter")]
    pub(crate) deadline: Duration,

    /// Print JSON, schema 1, one object per service and line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The process that you want to look at
    #[arg(short, long, value_name = "PID", value_parser = parse_pid)]
    pub(crate) pid: Pid,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Takes one of a closed set of words.
fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    key: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(move |&one| key(one))).try_map(move |word| {
        all.iter().copied().find(|&one| key(one) == word).ok_or_else(|| format!("no such word: {word}"))
    })
}

fn parse_pid(text: &str) -> Result<Pid, String> {
    match text.parse::<i32>() {
        Ok(pid) if pid > 0 => Ok(Pid(pid)),
        _ => Err("a process id is a number above zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exactly_one_way_to_name_the_target() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        assert!(parse("slackwater diagnose --pid 1"));
        assert!(parse("slackwater diagnose -p 1 -p 2"));
        assert!(parse("slackwater diag --name gunicorn --for 10s"));
        assert!(!parse("slackwater diagnose"));
        assert!(!parse("slackwater diagnose --pid 1 --all"));
        assert!(!parse("slackwater diagnose --pid 0"));
        assert!(!parse("slackwater diagnose --pid -4"));
        assert!(!parse("slackwater trim --all --above many"));
    }

    #[test]
    fn what_is_run_stands_behind_two_dashes() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        assert!(parse("slackwater run -- gunicorn --workers 4 -- app:app"));
        assert!(parse("slackwater run -a jemalloc -s narenas=2 --pymalloc keep -- uvicorn"));
        assert!(parse("slackwater run --print-env --json"));
        assert!(!parse("slackwater run gunicorn"));
        assert!(!parse("slackwater run --allocater jemalloc -- gunicorn"));
        assert!(!parse("slackwater run --allocator jemaloc -- gunicorn"));
        assert!(!parse("slackwater run --governor maybe -- gunicorn"));
        assert!(!parse("slackwater run --json -- gunicorn"));
        assert!(!parse("slackwater run"));
    }
}
