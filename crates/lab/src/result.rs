//! What was measured, whole: `result.json`, schema 1.
//!
//! Times are seconds since the trial's zero on the monotonic clock; `started_unix_ms` is the one anchor to
//! the wall clock. Memory is that of the whole service, in bytes, summed over its processes.
//!
//! Invariant: nothing here is derived from something else here, save [`Comparison`], which `compare` can
//! make again from the trials alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of [`Experiment`] in JSON.
pub const SCHEMA: u32 = 1;

/// One experiment, finished or not.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Experiment {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of Slackwater that ran it.
    pub slackwater: String,
    /// What the plan calls it.
    pub name: String,
    /// The plan as it was written, so that it can be run again.
    pub plan: String,
    /// What the files held that bodies of requests were read from: name, length and sum.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bodies: BTreeMap<String, String>,
    /// The machine.
    pub surroundings: Surroundings,
    /// The arms in the order of the plan, null arms included.
    pub arms: Vec<ArmAsRun>,
    /// Which model the load follows.
    pub model: LoadModel,
    /// Trials of full value, in the order in which they ran.
    pub trials: Vec<Trial>,
    /// Trials that say nothing, and why.
    pub voids: Vec<Void>,
    /// What follows from the trials; absent before every arm had a trial.
    pub comparison: Option<Comparison>,
}

/// What decides results besides the arms.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
pub struct Surroundings {
    /// `uname -sr`.
    pub kernel: String,
    /// The C library of this machine, as `gnu_get_libc_version` says it.
    pub glibc: Option<String>,
    /// The mode of transparent huge pages.
    pub huge_pages: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// Processors that this process may use.
    pub n_cpus: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// `vm.overcommit_memory`.
    pub overcommit: Option<String>,
}

/// One arm, as it was started.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct ArmAsRun {
    /// Its name.
    pub name: String,
    /// The whole command line, `slackwater run` included; `{port}` left as it is.
    pub command: Vec<String>,
    /// Variables that the plan gives it.
    pub environment: BTreeMap<String, String>,
    /// The arm that this one repeats on purpose.
    pub is_null_of: Option<String>,
}

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum LoadModel {
    /// At a rate, whether the service keeps up or not.
    Open,
    /// From users who wait for each answer.
    Closed,
    /// As another program sends them.
    External,
    /// Not at all: the service does its work and ends.
    Work,
}

/// One start of the service under one arm, loaded in rounds.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Trial {
    /// The arm's name.
    pub arm: String,
    /// Which turn of the arm this is, from 0: ratios are of trials with the same number.
    pub repetition: usize,
    /// When it began, on the wall clock.
    pub started_unix_ms: u64,
    /// From start to ready, in seconds.
    pub ready_seconds: f64,
    /// What really served each process, read from it while it ran.
    pub in_force: Vec<InForce>,
    /// Round by round.
    pub rounds: Vec<Round>,
    /// Memory over time.
    pub series: Vec<Point>,
    /// Where the memory was, at chosen moments.
    pub ledgers: Vec<LedgerPoint>,
    /// What the control group counted as its peak, where one was made.
    pub cgroup_peak_bytes: Option<u64>,
    /// Processes that were replaced during the trial.
    pub n_replaced: usize,
    /// Processor time that sampling used, in seconds.
    pub sampling_cpu_seconds: f64,
    /// What the machine did meanwhile besides serving.
    #[serde(default)]
    pub disturbances: Disturbances,
    /// What was not seen.
    pub gaps: Vec<String>,
}

/// What happened on the machine during a trial that the plan did not ask for. What could not be read is
/// absent.
#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize, Debug)]
pub struct Disturbances {
    /// Processor time that the hypervisor gave to others, in seconds (`steal` in /proc/stat).
    pub stolen_cpu_seconds: Option<f64>,
    /// Processor time that neither the service nor this runner used, in seconds.
    pub others_cpu_seconds: Option<f64>,
    /// The most of the service that was swapped out, in bytes.
    pub swapped_bytes: Option<u64>,
    /// How far somebody moved the wall clock, in seconds; negative is backward.
    pub clock_step_seconds: Option<f64>,
    /// How often the service ran into its memory limit.
    pub n_limit_hits: Option<u64>,
}

/// The allocator of one process, and what is in force in it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct InForce {
    /// The process.
    pub pid: i32,
    /// What it does in the service: master, worker, single, other.
    pub role: String,
    /// Its interpreter, such as `3.11.2`.
    pub python: Option<String>,
    /// What serves malloc there, with its version where that can be told.
    pub allocator: String,
    /// What serves Python's small objects: `pymalloc` or `malloc`.
    pub objects: Option<String>,
    /// Settings by name.
    pub settings: BTreeMap<String, String>,
    /// Who gives memory back while it idles, where that can be told.
    pub purging: Option<String>,
}

/// Load, then idle.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Round {
    /// When the first request was due.
    pub load_from: f64,
    /// When the last answer was in.
    pub load_until: f64,
    /// When the idle time was over.
    pub idle_until: f64,
    /// What the generator saw; absent where nothing was sent over HTTP by us.
    pub load: Option<Answers>,
    /// Processor time of the whole service while it was loaded, in seconds.
    pub loaded_cpu_seconds: f64,
    /// The same over load and idle: work that was put off is not free.
    pub cpu_seconds: f64,
    /// Page faults over load and idle that needed no disk.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// The highest sample of RSS in load and idle.
    pub peak_rss_bytes: u64,
    /// The median of RSS over the last tenth of the idle time.
    pub idle_rss_bytes: u64,
    /// PSS at the end of the idle time.
    pub idle_pss_bytes: Option<u64>,
    /// Memory that would be freed if the service ended, at the end of the idle time.
    pub idle_private_bytes: Option<u64>,
}

/// What the generator saw in one round.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Answers {
    /// Requests that were due.
    pub n_due: u64,
    /// Requests with a right answer.
    pub n_right: u64,
    /// Answers with a wrong status or body.
    pub n_wrong: u64,
    /// Requests without an answer in time.
    pub n_timeouts: u64,
    /// Connections that failed or broke.
    pub n_failed: u64,
    /// Requests that met a kept-alive connection as the service closed it, before a byte of an answer, and
    /// were sent once more on a new one; their latency counts from when they were due. The service may have
    /// worked on both.
    #[serde(default)]
    pub n_resent: u64,
    /// Requests that the generator sent too late to count, at the 99th percentile, in seconds: how
    /// late after they were due, for reasons on its own side.
    pub late_p99_seconds: f64,
    /// Right answers per second.
    pub right_per_second: f64,
    /// The first wrong answer, in a line.
    pub example_of_wrong: Option<String>,
    /// Latency of right answers, microseconds, as a `HdrHistogram` V2 in base64: whole.
    pub latency_us_hdr: String,
    /// Some quantiles of it, in seconds, for readers without the library.
    pub latency: Latency,
}

/// Quantiles of latency, in seconds.
#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize, Debug)]
pub struct Latency {
    /// Half of the answers were as fast.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// Memory of the service at one moment.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Point {
    /// Seconds since the trial's zero.
    pub at: f64,
    /// Resident, summed over the processes.
    pub rss_bytes: u64,
    /// Resident of each process, in the order of their start; a process that has ended keeps its place with 0.
    pub each_rss_bytes: Vec<u64>,
    /// Processor time used so far, in seconds.
    pub cpu_seconds: f64,
    /// Minor faults so far.
    pub minor_faults: u64,
    /// What the control group counts, where one was made.
    pub cgroup_bytes: Option<u64>,
}

/// Where the memory of the service was, at one moment.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct LedgerPoint {
    /// Seconds since the trial's zero.
    pub at: f64,
    /// Bytes by class, summed over the processes; the keys are those of `diagnose --json`.
    pub ledger: BTreeMap<String, u64>,
    /// PSS, summed.
    pub pss_bytes: u64,
    /// Private, summed.
    pub private_bytes: u64,
    /// Processes whose malloc could not be read then: what they hold and keep is not told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// A process whose malloc could not be read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Unread {
    /// The process.
    pub pid: i32,
    /// What it does in the service: master, worker, single, other.
    pub role: String,
}

/// A trial that says nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Void {
    /// The arm's name.
    pub arm: String,
    /// Which turn.
    pub repetition: usize,
    /// When it began.
    pub started_unix_ms: u64,
    /// Why it says nothing.
    pub reason: String,
    /// The last lines that the service wrote.
    pub log: Vec<String>,
}

/// One number of a trial that arms are compared by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The highest RSS of any round.
    PeakRss,
    /// RSS at the end of the last idle time.
    IdleRss,
    /// PSS at the end of the last idle time.
    IdlePss,
    /// Processor time per right answer, idle time included; of the whole trial where nothing was sent.
    Cpu,
    /// Median latency of all rounds together.
    P50,
    /// Its 99th percentile.
    P99,
    /// Right answers per second: higher is better.
    Throughput,
    /// Minor faults per right answer; of the whole trial where nothing was sent.
    MinorFaults,
}

/// What follows from the trials.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Comparison {
    /// The arm that the ratios are to.
    pub baseline: String,
    /// Arm by arm, in the order of the plan.
    pub arms: Vec<ArmCompared>,
    /// The arm that the objective chooses; absent when nothing can be said.
    pub recommended: Option<Recommendation>,
    /// What makes the measurement doubtful.
    pub warnings: Vec<Warning>,
}

/// One arm against the baseline.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct ArmCompared {
    /// Its name.
    pub arm: String,
    /// Trials that count.
    pub n_trials: usize,
    /// By measure; one that was not taken is absent.
    pub measures: BTreeMap<Measure, Compared>,
    /// No other arm is better in memory and not worse in CPU and p99.
    pub on_front: bool,
}

/// One measure of one arm.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
pub struct Compared {
    /// The median over its trials, in bytes, seconds or per second.
    pub median: f64,
    /// The ratio to the baseline, over trials of the same repetition.
    pub ratio: f64,
    /// From here on, with 95 % certainty; the lowest ratio seen where trials are too few.
    pub low: f64,
    /// Up to here; the highest ratio seen where trials are too few.
    pub high: f64,
    /// What may be said.
    pub verdict: Verdict,
}

/// What a ratio and its interval allow to say.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// This is what the others are compared with.
    Baseline,
    /// Better than the baseline, beyond what comparing a thing with itself shows.
    Better,
    /// Worse, likewise.
    Worse,
    /// No difference was seen; that is no proof that there is none.
    NoDifferenceSeen,
    /// Too few trials to say anything.
    TooFew,
}

/// The arm to take, and why.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Recommendation {
    /// Its name.
    pub arm: String,
    /// The objective, in words.
    pub objective: String,
    /// What speaks for it, a line each.
    pub reasons: Vec<String>,
}

/// Something about the measurement that a reader has to know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Warning {
    /// A stable word of the closed set in `warnings`.
    pub kind: String,
    /// The arm, where it is about one.
    pub arm: Option<String>,
    /// What was seen, and what to do.
    pub message: String,
}
