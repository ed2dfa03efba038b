//! Attaching to a process that runs, and leaving it as it was.
//!
//! ```text
//! attach   two files in memory ─▶ the agent, loaded ─▶ slackwater_agent_attach(session) ─▶ a session more
//! detach                                              slackwater_agent_detach()
//! ```
//!
//! Invariants: a process is either recorded or as it was, whatever fails; the agent stays loaded, and does
//! nothing. What an agent answers is read from its own data, and counted, so that an old answer is not
//! taken for a new one.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slackwater_capture::transport::Settings;
use slackwater_capture::transport::late::{ATTACH, DETACH, Heard, Late, REPORT, REPORT_WORDS};
use slackwater_inject::{Image, InjectError, Library, MemoryFile, Options, Outcome, Target};
use slackwater_procfs::Process;

use crate::memory::SharedMemory;
use crate::{CollectError, sys};

/// The name under which the agent is seen in a process.
const NAME: &str = "slackwater_agent";
/// And the memory that is shared with it.
const SESSION_NAME: &str = "slackwater_session";
/// Between two attempts, when another thread of the process is in the loader.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to look for a thread that closes what was opened in vain.
const TIDYING: Duration = Duration::from_secs(1);

/// The agent's file.
#[derive(Debug)]
pub struct Agent {
    image: Image,
    file: File,
}

/// A process that records now.
#[derive(Debug)]
pub struct Attached {
    /// What it writes to.
    pub memory: SharedMemory,
    /// How long a thread of it was stopped, at most.
    pub stopped: Duration,
    /// How long a thread of it made calls for us, at most, instead of its own.
    pub borrowed: Duration,
    /// Calls that were redirected.
    pub n_slots: u64,
    /// Calls that could not be, and are not seen.
    pub n_refused: u64,
    /// Whether Python's own allocators are listened to.
    pub heard: Heard,
}

/// Why a process is not recorded, or not left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The agent's file is not what it should be.
    #[error("{} cannot be loaded into a process", .path.display())]
    Agent {
        /// The file.
        path: PathBuf,
        /// Why, if it could not be read.
        source: Option<std::io::Error>,
    },
    /// No thread could be entered, or the agent could not be loaded.
    #[error(transparent)]
    Enter(#[from] InjectError),
    /// The memory that is to be shared could not be laid out.
    #[error(transparent)]
    Memory(#[from] CollectError),
    /// The agent refused.
    #[error("the agent in process {pid} {}", said(.what))]
    Refused {
        /// The process.
        pid: slackwater_base::Pid,
        /// What it answered; `None` when it did not.
        what: Option<Late>,
    },
}

fn said(what: &Option<Late>) -> &'static str {
    match what {
        Some(Late::Busy) => "finds another thread in the loader each time",
        Some(Late::Taken) => "records for somebody else already",
        Some(Late::NotASession) => "does not understand this release",
        Some(Late::NoMemory) => "gets no memory: its address space is limited (ulimit -v)",
        Some(Late::LoaderUnknown) => "does not know this loader",
        Some(Late::Attached | Late::Detached) | None => "does not answer in time",
    }
}

impl AttachError {
    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Agent { .. } => Some("use the one that was built with this slackwater"),
            Self::Enter(error) => error.hint(),
            Self::Memory(error) => Some(error.hint()),
            Self::Refused { what: Some(Late::Taken), .. } => {
                Some("end the other recording first; one that was killed is forgotten after ten seconds")
            }
            Self::Refused { what: Some(Late::NoMemory), .. } => Some(
                "it takes 0.5 GB of addresses, 0.9 GB with native stacks, nearly all untouched; \
                 `prlimit --as=unlimited --pid PID` allows them while it runs",
            ),
            Self::Refused { .. } => Some("start the service with `slackwater record --` instead"),
        }
    }

    /// Whether the process has ended.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Enter(InjectError::Gone { .. }))
    }

    /// Whether the kernel does not permit it.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Enter(InjectError::Denied { .. }) => true,
            Self::Enter(InjectError::Look { source, .. }) => source.is_denied(),
            _ => false,
        }
    }
}

impl Agent {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is no library.
    pub fn read(path: &Path) -> Result<Self, AttachError> {
        let fault = |source| AttachError::Agent { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(|error| fault(Some(error)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| fault(Some(error)))?;
        Image::new(NAME, bytes).map(|image| Self { image, file }).ok_or_else(|| fault(None))
    }

    /// What it was read from; `None` without another descriptor.
    pub(crate) fn file(&self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// Whether a mapping of this name is of the agent that a process was made to load.
    pub(crate) fn is_mapped_as(name: &Path) -> bool {
        name.to_str().and_then(|name| name.strip_prefix("/memfd:")) == Some(NAME)
    }

    /// Whether the process records, or is a child of one that did when it was forked.
    pub fn is_in(&self, process: &Process) -> bool {
        let report = || {
            let target = Target::open(process).ok()?;
            let library = target.find_library(&self.image).ok()??;
            self.report(&target, library).ok()
        };
        report().is_some_and(|report| report.what == Some(Late::Attached))
    }

    /// Has a process record into a session of its own.
    ///
    /// # Errors
    /// The process is as it was then; the agent may have been loaded, but does nothing.
    pub fn attach(
        &self,
        process: &Process,
        settings: &Settings,
        options: &Options,
    ) -> Result<Attached, AttachError> {
        let target = Target::open(process)?;
        let (library, session, entries) = match target.find_library(&self.image)? {
            Some(library) => {
                let ([session], made) = target.make_files([SESSION_NAME], options)?;
                (library, session, vec![made])
            }
            None => {
                let ([file, session], made) = target.make_files([NAME, SESSION_NAME], options)?;
                match target.load_library(&self.image, &file, options) {
                    Ok((library, loaded)) => (library, session, vec![made, loaded]),
                    Err(error) => {
                        tidy_up(&target, &[file, session], options);
                        return Err(error.into());
                    }
                }
            }
        };
        let begun = self.begin(&target, library, &session, settings, options);
        let (memory, report, entry) = begun.inspect_err(|_| {
            tidy_up(&target, &[session], options);
        })?;
        let entries = || entries.iter().chain([&entry]);
        Ok(Attached {
            memory,
            stopped: entries().map(|entry| entry.stopped).max().unwrap_or_default(),
            borrowed: entries().map(|entry| entry.ran).max().unwrap_or_default(),
            n_slots: report.n_slots,
            n_refused: report.n_refused,
            heard: report.heard,
        })
    }

    fn begin(
        &self,
        target: &Target<'_>,
        library: Library,
        session: &MemoryFile,
        settings: &Settings,
        options: &Options,
    ) -> Result<(SharedMemory, Report, Outcome), AttachError> {
        let memory = SharedMemory::adopt(&session.file, settings)?;
        memory.session()?.beat(sys::monotonic_ns());
        let (report, entry) = self.ask(target, library, ATTACH, &[u64::from(session.descriptor)], options)?;
        match report.what {
            Some(Late::Attached) => Ok((memory, report, entry)),
            what => Err(AttachError::Refused { pid: target.process().pid(), what }),
        }
    }

    /// Has it stop, and call its own functions again.
    ///
    /// # Errors
    /// It records nothing any more then, at the latest when the session has ended; its calls still pass
    /// through the agent.
    pub fn detach(&self, process: &Process, options: &Options) -> Result<(), AttachError> {
        let target = Target::open(process)?;
        let Some(library) = target.find_library(&self.image)? else { return Ok(()) };
        let (report, _) = self.ask(&target, library, DETACH, &[], options)?;
        match report.what {
            Some(Late::Detached) => Ok(()),
            what => Err(AttachError::Refused { pid: process.pid(), what }),
        }
    }

    /// Calls a function of the agent's until it finds the loader free.
    fn ask(
        &self,
        target: &Target<'_>,
        library: Library,
        function: &str,
        arguments: &[u64],
        options: &Options,
    ) -> Result<(Report, Outcome), AttachError> {
        let pid = target.process().pid();
        let silent = || AttachError::Refused { pid, what: None };
        let at = self.image.symbol(library, function).ok_or_else(silent)?;
        let start = Instant::now();
        loop {
            let before = self.report(target, library)?;
            let outcome = target.call_library(at, arguments, options)?;
            let after = self.report(target, library)?;
            if after.n_calls == before.n_calls {
                return Err(silent());
            }
            if after.what != Some(Late::Busy) || start.elapsed() > options.search {
                return Ok((after, outcome));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn report(&self, target: &Target<'_>, library: Library) -> Result<Report, AttachError> {
        let silent = AttachError::Refused { pid: target.process().pid(), what: None };
        let at = self.image.symbol(library, REPORT).ok_or(silent)?;
        let [n_calls, what, n_slots, n_refused, heard]: [u64; REPORT_WORDS] = target.words(at)?;
        let heard = Heard::of(heard).unwrap_or(Heard::Malloc);
        Ok(Report { n_calls, what: Late::of(what), n_slots, n_refused, heard })
    }
}

/// Closes what was opened in vain: the error that led here is what matters. The caller giving up does not end it.
fn tidy_up(target: &Target<'_>, files: &[MemoryFile], options: &Options) {
    let options = Options { probe: |_| true, search: options.search.min(TIDYING), ..*options };
    let _ = target.close_files(files, &options);
}

/// The agent's words.
struct Report {
    n_calls: u64,
    what: Option<Late>,
    n_slots: u64,
    n_refused: u64,
    heard: Heard,
}
