//! Arguments of `record` and `mark`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use slackwater_base::Bytes;

use crate::verbs::record::{Full, max_size};

/// The files of a recording.
#[derive(Args, Clone, Debug)]
pub(crate) struct FileArgs {
    /// Go on in another file at this size (100M) or age (1h)
    #[arg(long, value_name = "SIZE|DURATION", value_parser = Full::parse)]
    pub(crate) rotate: Option<Full>,

    /// With --rotate: delete all but the newest COUNT files
    #[arg(long, value_name = "COUNT", requires = "rotate", value_parser = keep)]
    pub(crate) keep: Option<usize>,

    /// Never let the file become larger (64M): of what is long past only sums by stack are kept
    #[arg(long, value_name = "SIZE", conflicts_with = "rotate", value_parser = max_size)]
    pub(crate) max_size: Option<Bytes>,
}

impl FileArgs {
    /// The same words again, for another process.
    pub(crate) fn words(&self) -> Vec<String> {
        let rotate = self.rotate.map(|full| match full {
            Full::Bytes(size) => format!("--rotate={}", size.0),
            Full::After(after) => format!("--rotate={}ms", after.as_millis()),
        });
        let keep = self.keep.map(|count| format!("--keep={count}"));
        let max_size = self.max_size.map(|size| format!("--max-size={}", size.0));
        [rotate, keep, max_size].into_iter().flatten().collect()
    }
}

/// Arguments of `record`.
#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) target: super::Target,

    /// Record a running service for this long (60s, 5m, 1h); until Ctrl-C unless said
    #[arg(short, long, value_name = "DURATION", value_parser = crate::duration::parse, conflicts_with = "command")]
    pub(crate) duration: Option<Duration>,

    /// Where the capture goes; COMMAND.slackwater or SERVICE.slackwater unless said
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Overwrite the file
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Record every allocation and free, not samples
    #[arg(long)]
    pub(crate) exact: bool,

    /// Record the calls of native code too, not Python's alone
    #[arg(short, long)]
    pub(crate) native: bool,

    /// Mean distance of samples
    #[arg(long, value_name = "SIZE", default_value = "512KiB", value_parser = sample_mean)]
    pub(crate) sample: Bytes,

    /// See each block of Python's own allocators, too: those of small objects
    #[arg(long)]
    pub(crate) python_allocators: bool,

    /// Record other programs too that a recorded process starts or becomes, from half a second after
    #[arg(long)]
    pub(crate) follow_exec: bool,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Show meanwhile who holds most
    #[arg(long, conflicts_with = "rotate")]
    pub(crate) live: bool,

    /// Draw the same samples each time
    #[arg(long, value_name = "NUMBER", hide = true, default_value_t = 0)]
    pub(crate) seed: u64,

    /// The command to start and record
    #[arg(last = true, value_name = "COMMAND", group = "which")]
    pub(crate) command: Vec<OsString>,
}

fn keep(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number above zero: the file that is being written is kept".to_owned()),
    }
}

fn sample_mean(text: &str) -> Result<Bytes, String> {
    match text.parse::<Bytes>() {
        Ok(mean) if (1..=1 << 40).contains(&mean.0) => Ok(mean),
        Ok(_) => Err("samples are 1 B to 1 TiB apart".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Arguments of `mark`.
#[derive(Args, Debug)]
pub(crate) struct MarkArgs {
    /// What to call this moment
    #[arg(value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// The capture that is being recorded into
    #[arg(short, long, value_name = "FILE", conflicts_with = "pid")]
    pub(crate) capture: Option<PathBuf>,

    /// A process that is recorded
    #[arg(short, long, value_name = "PID", value_parser = super::parse_pid)]
    pub(crate) pid: Option<slackwater_base::Pid>,
}

/// Arguments of the process that records beside a service. Nobody types them.
#[derive(Args, Debug)]
pub(crate) struct RecorderArgs {
    /// Start another process for it, and end
    #[arg(long)]
    pub(crate) detach: bool,

    /// The process that becomes the service
    #[arg(long, value_parser = super::parse_pid)]
    pub(crate) service: slackwater_base::Pid,

    /// What the capture is called
    #[arg(long)]
    pub(crate) capture: PathBuf,

    /// See each block of Python's own allocators
    #[arg(long)]
    pub(crate) python_allocators: bool,

    #[command(flatten)]
    pub(crate) files: FileArgs,
}
