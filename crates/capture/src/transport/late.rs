//! What the tool and an agent that it has loaded into a running process say to each other.
//!
//! The agent exports two functions, which the tool calls in a thread of the process, and a row of words in
//! which it finds what came of the last call.
//!
//! ```text
//! word 0   calls that have come to an end     word 1   what came of the last one: `Late`
//! word 2   slots that were redirected         word 3   slots that could not be
//! ```

/// `void attach(int session, pthread_mutex_t *load_lock, pthread_mutex_t *list_lock)`.
pub const ATTACH: &str = "slackwater_agent_attach";
/// `void detach(pthread_mutex_t *load_lock, pthread_mutex_t *list_lock)`.
pub const DETACH: &str = "slackwater_agent_detach";
/// `uint64_t report[4]`.
pub const REPORT: &str = "slackwater_agent_report";
/// Words of the report.
pub const REPORT_WORDS: usize = 4;

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
