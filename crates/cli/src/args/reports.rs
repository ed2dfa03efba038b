//! Arguments of the verbs that read a capture.

use std::path::PathBuf;

use clap::Args;
use slackwater_report::allocations::Measure;

use super::moment::Range;

/// The part of a capture that is read.
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// The capture
    #[arg(value_name = "FILE")]
    pub(crate) capture: PathBuf,

    #[command(flatten)]
    pub(crate) range: Range,

    #[command(flatten)]
    pub(crate) labels: Labels,
}

/// What is told of stacks beside their lines.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Labels {
    /// Do not tell which request or task a stack served
    #[arg(long)]
    pub(crate) no_endpoints: bool,
}

/// Arguments of `table`.
#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    #[command(flatten)]
    pub(crate) read: Read,

    #[command(flatten)]
    pub(crate) measure: MeasureArgs,

    /// A row for each whole stack, not for each line of code
    #[arg(long)]
    pub(crate) stacks: bool,

    /// A row for each function that answers requests or does tasks
    #[arg(long, conflicts_with_all = ["stacks", "no_endpoints"])]
    pub(crate) by_endpoint: bool,

    /// Tell processes apart, each with its pid
    #[arg(long, visible_alias = "by-process")]
    pub(crate) by_worker: bool,

    /// Rows to show
    #[arg(short = 'n', long, value_name = "ROWS", default_value_t = 20)]
    pub(crate) limit: usize,

    /// Print JSON, schema 1, with whole stacks
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) read: Read,

    /// Print JSON, schema 1
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of the allocations is asked for.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub(crate) struct MeasureArgs {
    /// What was not given back
    #[arg(long)]
    pub(crate) leaks: bool,

    /// What was live when the processes together held most
    #[arg(long)]
    pub(crate) peak: bool,

    /// All that was handed out
    #[arg(long)]
    pub(crate) allocated: bool,
}

impl MeasureArgs {
    /// The measure that is named, or this one.
    pub(crate) const fn or(self, unnamed: Measure) -> Measure {
        match self {
            Self { leaks: true, .. } => Measure::Live,
            Self { peak: true, .. } => Measure::Peak,
            Self { allocated: true, .. } => Measure::Allocated,
            _ => unnamed,
        }
    }
}

/// Arguments of `flamegraph`.
#[derive(Args, Debug)]
pub(crate) struct FlamegraphArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    pub(crate) capture: PathBuf,

    /// Where the page goes; FILE.html unless said
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Overwrite the file
    #[arg(short, long)]
    pub(crate) force: bool,

    /// What the page shows first; the high-water mark unless said
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,

    #[command(flatten)]
    pub(crate) labels: Labels,
}

slackwater_base::words! {
    /// Whose format is written.
    Format {
        /// speedscope's JSON.
        Speedscope = "speedscope",
        /// Go's and most others': a gzipped protobuf.
        Pprof = "pprof",
        /// A line for each stack, as flamegraph.pl reads it.
        Collapsed = "collapsed",
    }
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) read: Read,

    /// speedscope (JSON), pprof (with all measures), or collapsed (text)
    #[arg(long, value_name = "FORMAT", value_parser = super::word(Format::ALL, Format::key))]
    pub(crate) format: Format,

    /// Where it goes; FILE.speedscope.json, FILE.pb.gz or FILE.txt unless said, `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Overwrite the file
    #[arg(short, long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
}

/// Arguments of `live`.
#[derive(Args, Debug)]
pub(crate) struct LiveArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    pub(crate) capture: PathBuf,

    /// Show it once and end, as when standard output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}
