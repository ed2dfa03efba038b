//! The head of the shared memory: what is recorded, and whether anybody listens.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::AtomicU64;
use super::ring::Ring;

/// Says that this is a session, and of which layout.
const COOKIE: u64 = u64::from_le_bytes(*b"slackse\x02");

const HEADER: usize = 64;
const AT_COOKIE: usize = 0;
const AT_STATE: usize = 1;
const AT_MODE: usize = 2;
const AT_MEAN: usize = 3;
const AT_SEED: usize = 4;
const AT_N_RINGS: usize = 5;
const AT_N_SLOTS: usize = 6;
const AT_REFUSED: usize = 7;
const AT_NATIVE: usize = 8;
const AT_PYTHON: usize = 9;
const AT_CLAIMS: usize = 10;
/// On a cache line of its own: written all the time.
const AT_BEAT: usize = 32;

/// Words at the start that [`Session::reads_native`] looks at.
const FIRST_WORDS: usize = AT_NATIVE + 1;

/// Most rings that are believed.
const RINGS_MAX: u64 = 4096;
/// Most slots of a ring that are believed.
const SLOTS_MAX: u64 = 1 << 24;
/// Most words for native stacks that are believed.
const NATIVE_MAX: u64 = 1 << 28;

/// Whether the collector still listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// It does.
    Open,
    /// Recording has ended; nothing is to be pushed any more.
    Ended,
}

/// What is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Samples, by bytes.
    Sampled,
    /// Every event.
    Exact,
}

/// Which of Python's own allocators (the domains `raw`, `mem` and `object`) are listened to, besides malloc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PythonAllocators {
    /// Those that another library than the interpreter serves: malloc may not hear of their blocks at all.
    Foreign,
    /// All.
    All,
}

/// What agents are to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What is recorded.
    pub mode: Mode,
    /// Mean distance of samples in bytes; exact recording falls back to it.
    pub sample_mean: u64,
    /// Makes samples repeatable; 0 for none.
    pub seed: u64,
    /// Rings.
    pub n_rings: usize,
    /// Slots of each; a power of two.
    pub n_slots: usize,
    /// Words for the tables of native stacks; 0 when those are not read.
    pub native_words: usize,
    /// Which of Python's own allocators are listened to.
    pub python_allocators: PythonAllocators,
}

/// These words are no session of this release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotASession;

/// The shared memory of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Session<'m> {
    words: &'m [AtomicU64],
    header: &'m [AtomicU64; HEADER],
    rings: &'m [AtomicU64],
    /// Behind the rings.
    native: &'m [AtomicU64],
    settings: Settings,
}

impl<'m> Session<'m> {
    /// Words that a session with these settings takes.
    pub const fn words(settings: &Settings) -> usize {
        HEADER + settings.n_rings * Ring::words(settings.n_slots) + settings.native_words
    }

    /// Makes a session of zeroed memory.
    ///
    /// # Errors
    /// When there are too few words, or the settings are out of bounds.
    pub fn create(words: &'m [AtomicU64], settings: &Settings) -> Result<Self, NotASession> {
        let (header, _) = words.split_first_chunk::<HEADER>().ok_or(NotASession)?;
        header[AT_STATE].store(1, Relaxed);
        let mode = match settings.mode {
            Mode::Sampled => 1,
            Mode::Exact => 2,
        };
        header[AT_MODE].store(mode, Relaxed);
        header[AT_MEAN].store(settings.sample_mean, Relaxed);
        header[AT_SEED].store(settings.seed, Relaxed);
        header[AT_N_RINGS].store(settings.n_rings as u64, Relaxed);
        header[AT_N_SLOTS].store(settings.n_slots as u64, Relaxed);
        header[AT_NATIVE].store(settings.native_words as u64, Relaxed);
        header[AT_PYTHON].store(u64::from(settings.python_allocators == PythonAllocators::All), Relaxed);
        header[AT_COOKIE].store(COOKIE, Release);
        Self::open(words)
    }

    /// Whether native stacks are read in the session that begins with these words: for who makes room for them
    /// before all of it is mapped.
    pub const fn reads_native(first: &[u64; FIRST_WORDS]) -> bool {
        first[AT_NATIVE] != 0
    }

    /// The session in these words.
    ///
    /// # Errors
    /// When they are none, or more is claimed than they hold.
    pub fn open(words: &'m [AtomicU64]) -> Result<Self, NotASession> {
        let (header, rest) = words.split_first_chunk::<HEADER>().ok_or(NotASession)?;
        if header[AT_COOKIE].load(Acquire) != COOKIE {
            return Err(NotASession);
        }
        let bounded = |at: usize, most: u64| {
            let value = header.get(at).map_or(0, |word| word.load(Relaxed));
            if (1..=most).contains(&value) { Ok(value as usize) } else { Err(NotASession) }
        };
        let settings = Settings {
            mode: match header[AT_MODE].load(Relaxed) {
                1 => Mode::Sampled,
                2 => Mode::Exact,
                _ => return Err(NotASession),
            },
            sample_mean: header[AT_MEAN].load(Relaxed).max(1),
            seed: header[AT_SEED].load(Relaxed),
            n_rings: bounded(AT_N_RINGS, RINGS_MAX)?,
            n_slots: bounded(AT_N_SLOTS, SLOTS_MAX)?,
            native_words: match header[AT_NATIVE].load(Relaxed) {
                0 => 0,
                _ => bounded(AT_NATIVE, NATIVE_MAX)?,
            },
            python_allocators: match header[AT_PYTHON].load(Relaxed) {
                0 => PythonAllocators::Foreign,
                _ => PythonAllocators::All,
            },
        };
        if !settings.n_slots.is_power_of_two() {
            return Err(NotASession);
        }
        let n_words = settings.n_rings * Ring::words(settings.n_slots);
        let (rings, rest) = rest.split_at_checked(n_words).ok_or(NotASession)?;
        let native = rest.get(..settings.native_words).ok_or(NotASession)?;
        Ok(Self { words, header, rings, native, settings })
    }

    /// All of the words.
    pub const fn memory(&self) -> &'m [AtomicU64] {
        self.words
    }

    /// What agents are to do.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The ring of this number.
    #[inline]
    pub fn ring(&self, number: usize) -> Option<Ring<'m>> {
        let start = number.checked_mul(Ring::words(self.settings.n_slots))?;
        Ring::with_slots(self.rings.get(start..)?, self.settings.n_slots)
    }

    /// The words for the tables of native stacks, behind the rings.
    #[inline]
    pub const fn native(&self) -> &'m [AtomicU64] {
        self.native
    }

    /// Takes a free ring for a process: its number. If there is none, that is counted.
    pub fn claim(&self, pid: u32, parent: u32) -> Option<usize> {
        let is_claimed = |&number: &usize| self.ring(number).is_some_and(|ring| ring.claim(pid, parent));
        let claimed = (0..self.settings.n_rings).find(is_claimed);
        let counted = if claimed.is_some() { AT_CLAIMS } else { AT_REFUSED };
        // Release: who sees the count sees the ring's owner.
        self.header[counted].fetch_add(1, Release);
        claimed
    }

    /// How often a ring was claimed. Whoever is killed while it claims one may not be counted.
    pub fn n_claims(&self) -> u64 {
        self.header[AT_CLAIMS].load(Acquire)
    }

    /// Processes that found no free ring, since this was asked last.
    pub fn take_refused(&self) -> u64 {
        self.header[AT_REFUSED].swap(0, Relaxed)
    }

    /// Whether the collector still listens.
    #[inline]
    pub fn state(&self) -> SessionState {
        if self.header[AT_STATE].load(Relaxed) == 1 { SessionState::Open } else { SessionState::Ended }
    }

    /// Ends the recording for every process.
    pub fn end(&self) {
        self.header[AT_STATE].store(2, Release);
    }

    /// The collector lives: CLOCK_MONOTONIC, nanoseconds.
    pub fn beat(&self, now_ns: u64) {
        self.header[AT_BEAT].store(now_ns, Relaxed);
    }

    /// When the collector was last seen alive.
    pub fn last_beat(&self) -> u64 {
        self.header[AT_BEAT].load(Relaxed)
    }
}
