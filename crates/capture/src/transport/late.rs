//! What the tool and an agent that it has loaded into a running process say to each other.
//!
//! The agent exports two functions, which the tool calls in a thread of the process, and a row of words in
//! which it finds what came of the last call.
//!
//! ```text
//! word 0   calls that have come to an end     word 1   what came of the last one: `Late`
//! word 2   slots that were redirected         word 3   slots that could not be
//! word 4   what came of Python's allocators: `Heard`
//! ```

/// `void attach(int session, pthread_mutex_t *load_lock, pthread_mutex_t *list_lock)`.
pub const ATTACH: &str = "slackwater_agent_attach";
/// `void detach(pthread_mutex_t *load_lock, pthread_mutex_t *list_lock)`.
pub const DETACH: &str = "slackwater_agent_detach";
/// `uint64_t report[5]`.
pub const REPORT: &str = "slackwater_agent_report";
/// Words of the report.
pub const REPORT_WORDS: usize = 5;

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Late {
    /// The process records.
    Attached = 1,
    /// It does not, and its tables are as they were.
    Detached = 2,
    /// Another thread holds the loader's locks. Nothing was done; ask again.
    Busy = 3,
    /// It records for somebody else already.
    Taken = 4,
    /// What was handed over is no session of this release.
    NotASession = 5,
    /// The process could not map memory.
    NoMemory = 6,
    /// The loader's locks are not where they were said to be.
    LoaderUnknown = 7,
}

impl Late {
    const ALL: [Self; 7] = [
        Self::Attached,
        Self::Detached,
        Self::Busy,
        Self::Taken,
        Self::NotASession,
        Self::NoMemory,
        Self::LoaderUnknown,
    ];

    /// What a word means.
    pub fn of(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|&one| one as u64 == word)
    }
}

/// The key of the fact that says what came of listening to Python's own allocators.
pub const PYTHON_ALLOCATORS: &str = "python allocators";

/// What came of listening to Python's own allocators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Malloc hears of all that is to be heard.
    Malloc = 0,
    /// Each block of theirs is seen.
    Each = 1,
    /// The interpreter has no global lock, and other allocators than those that are known.
    FreeThreaded = 2,
    /// The interpreter is a debug build.
    DebugBuild = 3,
    /// Another tool's functions stand in front of them.
    Wrapped = 4,
    /// The interpreter's table of their functions was not found.
    NotFound = 5,
}

impl Heard {
    const ALL: [Self; 6] =
        [Self::Malloc, Self::Each, Self::FreeThreaded, Self::DebugBuild, Self::Wrapped, Self::NotFound];

    /// What a word means.
    pub fn of(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|&one| one as u64 == word)
    }

    /// Why blocks are not seen that were to be.
    pub const fn why_not(self) -> Option<&'static str> {
        match self {
            Self::Malloc | Self::Each => None,
            Self::FreeThreaded => Some(
                "Python's small objects are not seen: this CPython is built without the global lock, and its \
                 allocators are not known",
            ),
            Self::DebugBuild => {
                Some("Python's small objects are not seen: this CPython is a debug build (Py_DEBUG)")
            }
            Self::Wrapped => Some(
                "Python's small objects are not seen: another tool stands in front of Python's allocators; end \
                 it first",
            ),
            Self::NotFound => Some(
                "Python's small objects are not seen: where this CPython keeps its table of allocators was not \
                 found",
            ),
        }
    }
}
