//! What an experiment does: the values behind `lab.toml`, checked and with every default filled in.
//!
//! Invariant: a [`Plan`] that exists can be run: its arms have distinct names, its weights and rates are
//! above zero, and no idle time is shorter than a sample.

pub mod decay;
mod error;
mod expected;
pub(crate) mod literal;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::error::PlanError;
pub(crate) use self::expected::START_AND_STOP;
pub use self::expected::{expected, trial as expected_of_trial};
pub use self::read::{LEAST_STEP, MOST_BYTES, read, read_bytes, read_saved};
pub use self::write::write;

/// One experiment.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// What the result is called.
    pub name: String,
    /// What is started for every trial.
    pub service: Service,
    /// The variants, as listed; the first is the one that the others are compared with.
    pub arms: Vec<Arm>,
    /// What the service is asked to do in each round.
    pub load: Load,
    /// How often, how long, in which order.
    pub schedule: Schedule,
    /// What `lab check` holds the arms to.
    pub limits: Vec<Limit>,
}

impl Plan {
    /// What the files hold that bodies of requests are read from, by name: length and a sum (FNV-1a, 64
    /// bits), enough to see that one was edited.
    pub fn bodies(&self) -> BTreeMap<String, String> {
        let (Load::Open { http, .. } | Load::Closed { http, .. }) = &self.load else {
            return BTreeMap::new();
        };
        let body = |request: &Request| {
            let path = request.body_file.as_ref()?.to_string_lossy().into_owned();
            let sum = request.body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            Some((path, format!("{} bytes, {sum:016x}", request.body.len())))
        };
        http.requests.iter().filter_map(body).collect()
    }
}

/// How the service is started, found ready and stopped.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Program and arguments; `{port}` in any of them, and in the values of variables, becomes a free
    /// port of this machine.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Variables beside those of the runner.
    pub environment: BTreeMap<String, String>,
    /// When it can be loaded.
    pub ready: Ready,
    /// How long it may take to become ready.
    pub ready_within: Duration,
    /// How long it may take to end after SIGTERM; then it is killed.
    pub stop_within: Duration,
    /// A limit on the memory of the whole service, in bytes, set by a control group of its own.
    pub memory_limit_bytes: Option<u64>,
    /// The processors that the service may use; all when empty.
    pub cpus: Vec<usize>,
}

/// When a service is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// A GET of this path is answered with a status below 400.
    Http(String),
    /// Something accepts connections on its port.
    Tcp,
    /// It wrote a line that contains this.
    Log(String),
    /// As soon as it was started: for a script that does its work and ends.
    Started,
}

/// One variant of the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arm {
    /// What tables and charts call it.
    pub name: String,
    /// Another command than the service's own: another server.
    pub command: Option<Vec<String>>,
    /// Variables beside those of the service.
    pub environment: BTreeMap<String, String>,
    /// How `slackwater run` starts it; `None`: started as it is, by nobody.
    pub allocator: Option<Allocator>,
    /// The same as another arm, to see what comparing a thing with itself shows.
    pub is_null_of: Option<String>,
}

impl Arm {
    /// The same arm once more, to see what comparing a thing with itself shows.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { name: format!("{} again", self.name), is_null_of: Some(self.name.clone()), ..self.clone() }
    }
}

/// What `slackwater run` is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allocator {
    /// As `--allocator` takes it: a name or the path of a library.
    pub choice: String,
    /// As `--set` takes them: `name=value`.
    pub settings: Vec<String>,
    /// As `--pymalloc` takes it: `off` or `keep`.
    pub pymalloc: Option<String>,
    /// `--bare`: without the presets.
    pub bare: bool,
}

/// What the service is asked to do in one round.
#[derive(Clone, PartialEq, Debug)]
pub enum Load {
    /// Requests arrive at a rate, whether the service keeps up or not; latency counts from when a
    /// request was due.
    Open {
        /// Rates, one after the other.
        steps: Vec<Step>,
        /// What is sent.
        http: Http,
    },
    /// A number of users who each wait for an answer before they ask again.
    Closed {
        /// How many at a time.
        users: usize,
        /// What each waits between an answer and the next request.
        think: Duration,
        /// For how long.
        duration: Duration,
        /// What is sent.
        http: Http,
    },
    /// Another program loads the service: `{port}`, `{url}` and `{seed}` are filled in; it is over when
    /// the program ends, which has to be with exit code 0.
    External {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Nothing is sent: the service does its work by itself and ends. One round, no idle time.
    Work,
}

/// A constant rate for a time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// Requests per second.
    pub rate_per_second: f64,
    /// For how long.
    pub duration: Duration,
}

/// What is sent over HTTP/1.1, and which answers are right.
#[derive(Clone, PartialEq, Debug)]
pub struct Http {
    /// Kinds of requests, mixed by weight with a seeded generator.
    pub requests: Vec<Request>,
    /// Connections at once, at the most; they are kept alive.
    pub connections: usize,
    /// After this an answer is given up and counted as a timeout.
    pub timeout: Duration,
}

/// One kind of request. `{n}` in path and body is a number that counts up from 0 over the round;
/// `{random:A..B}` is a seeded random integer from A up to, not including, B.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Its share, against the other weights.
    pub weight: f64,
    /// GET, POST and the like.
    pub method: String,
    /// Path and query, beginning with a slash.
    pub path: String,
    /// Headers beside Content-Length; Host is the address that is asked unless it is among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The file that it was read from.
    pub body_file: Option<PathBuf>,
    /// The status of a right answer; any of 200 to 399 when absent.
    pub status: Option<u16>,
    /// What the body of a right answer contains.
    pub contains: Option<String>,
}

/// How often, how long, in which order.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    /// How often every arm has its turn.
    pub repetitions: usize,
    /// Rounds of load in one trial, on the same processes.
    pub rounds: usize,
    /// Load before the first round that is not measured; the same requests, at the first rate.
    pub warm_up: Duration,
    /// Silence after each round.
    pub idle: Duration,
    /// Time between two samples.
    pub sample_every: Duration,
    /// The order of the arms and the mix of the requests follow from it.
    pub seed: u64,
    /// The processors that the generator may use; all when empty.
    pub load_cpus: Vec<usize>,
}

/// A bound on one measure of one arm, or of all.
#[derive(Clone, PartialEq, Debug)]
pub struct Limit {
    /// The arm; all but the null arms when absent.
    pub arm: Option<String>,
    /// What is bounded.
    pub measure: crate::result::Measure,
    /// The worst that its median may be: the most, or the least where more is better.
    pub bound: Bound,
}

/// How much is too much.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bound {
    /// In the measure's own unit: bytes, seconds or a number.
    Absolute(f64),
    /// Times the first arm's.
    Ratio(f64),
}
