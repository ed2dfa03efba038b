//! The block as a reader outside has it: plain numbers and words, decoded from a copy of its bytes.
//!
//! Invariant: no byte of the target is believed beyond its type. A word that this version does not
//! know is `None`, text is shown lossily, and a block of another version is refused by its number.

use core::fmt;
use core::mem::offset_of;

use slackwater_base::{Addr, Range};

use super::{Block, DECISIONS, Decision, GovernorState, MAGIC, OPTIONS_BYTES, Reason, VERSION};
use crate::{Field, Scalar};

/// Why bytes are no block that can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BlockError {
    /// They do not begin with [`MAGIC`], or are too few to tell.
    NoBlock,
    /// The writer's version is not [`VERSION`].
    Version {
        /// The writer's.
        found: u32,
    },
    /// The writer's block is smaller than that of any library of this version.
    Size {
        /// The writer's size, or the bytes that there were, bytes.
        found: u64,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBlock => f.write_str("there is no block of slackwater's allocator"),
            Self::Version { found } => write!(f, "the block has version {found}, known is {VERSION}"),
            Self::Size { found } => write!(f, "the block of version {VERSION} has only {found} bytes"),
        }
    }
}

impl core::error::Error for BlockError {}

/// What the library said of itself, all at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The library's version.
    pub library: Text<16>,
    /// Who wrote, by its own pid in its innermost namespace; 0 before the first time.
    pub pid: u32,
    /// The sequence of what was read; odd in the middle of writing.
    pub sequence: u32,
    /// What jemalloc holds.
    pub statistics: Statistics,
    /// What is in force.
    pub settings: Settings,
    /// What the governor does.
    pub governor: Governor,
    /// The root of jemalloc's page map; null when not known.
    pub page_map: Addr,
    /// jemalloc's table of arenas; null when not known.
    pub arenas: Addr,
    /// The command word.
    pub command: u32,
    /// The last command that was carried out.
    pub served: u32,
    /// Bytes that it gave back.
    pub served_bytes: u64,
    /// Where the pools of Python's small objects are; empty when there are none.
    pub pools: Range,
}

/// jemalloc's statistics, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Statistics {
    /// When they were taken, nanoseconds of `CLOCK_MONOTONIC`.
    pub taken_ns: u64,
    /// In blocks that the program holds, and in those parked in thread caches.
    pub allocated_bytes: u64,
    /// In pages with at least one block.
    pub active_bytes: u64,
    /// Most that can be resident.
    pub resident_bytes: u64,
    /// In unused pages, not given back yet.
    pub dirty_bytes: u64,
    /// In unused pages that the kernel may take.
    pub muzzy_bytes: u64,
    /// In jemalloc's own books.
    pub metadata_bytes: u64,
    /// Address space without pages.
    pub retained_bytes: u64,
    /// In blocks parked in thread caches.
    pub cached_bytes: u64,
}

/// What jemalloc was told, and what is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Arenas that serve threads.
    pub n_arenas: u32,
    /// Whether jemalloc's own background threads run.
    pub background_threads: bool,
    /// Decay time of dirty pages now, milliseconds; -1 never.
    pub dirty_decay_ms: i64,
    /// Decay time of muzzy pages now, milliseconds; -1 never.
    pub muzzy_decay_ms: i64,
    /// Largest size that threads cache, bytes; 0 without caches.
    pub thread_cache_max_bytes: u64,
    /// The library's own options, then the user's.
    options: Text<OPTIONS_BYTES>,
    user_start: u32,
    /// Options that jemalloc refused.
    pub n_refused_options: u32,
}

impl Settings {
    /// All options in order: later ones win.
    pub fn options(&self) -> Lossy<'_> {
        Lossy(self.options.bytes())
    }

    /// The value of the option `name` that was given last.
    pub fn option(&self, name: &str) -> Option<Lossy<'_>> {
        let mut options = self.options.bytes().rsplit(|&byte| byte == b',');
        options.find_map(|option| option.strip_prefix(name.as_bytes())?.strip_prefix(b":")).map(Lossy)
    }

    /// Those of them that the user gave; empty when there are none.
    pub fn user_options(&self) -> Lossy<'_> {
        Lossy(self.options.bytes().get(self.user_start as usize..).unwrap_or_default())
    }
}

/// What the governor does and did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Governor {
    /// What it is doing; `None` for a word that this version does not know.
    pub state: Option<GovernorState>,
    /// Times it looked.
    pub n_ticks: u64,
    /// Processor time it has used, nanoseconds.
    pub cpu_ns: u64,
    /// As much of that as it used giving memory back.
    pub purge_cpu_ns: u64,
    /// Bytes given back since the process began.
    pub purged_bytes: u64,
    /// The limit it keeps away from, bytes; 0 for none.
    pub limit_bytes: u64,
    /// Decisions since the process began.
    pub n_decisions: u32,
    ring: [Choice; DECISIONS],
}

impl Governor {
    /// The decisions that are still known, oldest first.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Choice> {
        let total = self.n_decisions as usize;
        (total.saturating_sub(DECISIONS)..total).map(|nth| &self.ring[nth % DECISIONS])
    }
}

/// One decision of the governor.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Choice {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Bytes given back; for [`Reason::Decay`] the new decay time in milliseconds.
    pub bytes: u64,
    /// Why; `None` for a word that this version does not know.
    pub reason: Option<Reason>,
    /// Minor faults per thousand purged pages until the next decision.
    pub refaults_permille: u32,
}

/// Text of the target, ended by a NUL or the end of its room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// The bytes before the NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Lossy(self.bytes()), f)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes as text; what is no UTF-8 shows as U+FFFD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lossy<'a>(&'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// Bytes to read of a block.
    pub const BYTES: usize = size_of::<Block>();
    /// The sequence, alone: to be read once more after the block.
    pub const SEQUENCE: Field<u32> = Field::at(offset_of!(Block, sequence) as u64);
    /// The command word: the only one that others write.
    pub const COMMAND: Field<u32> = Field::at(offset_of!(Block, command) as u64);
    /// The last command that was carried out.
    pub const SERVED: Field<u32> = Field::at(offset_of!(Block, served) as u64);

    /// Decodes a copy of a block.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, BlockError> {
        let mut bytes = *bytes;
        if number::<u64>(&bytes, offset_of!(Block, magic)) != MAGIC {
            return Err(BlockError::NoBlock);
        }
        let version = number::<u32>(&bytes, offset_of!(Block, version));
        if version != VERSION {
            return Err(BlockError::Version { found: version });
        }
        let size = number::<u32>(&bytes, offset_of!(Block, size)) as usize;
        if size < Self::LEAST_BYTES {
            return Err(BlockError::Size { found: size as u64 });
        }
        // What an older library does not have, it has not written.
        bytes[size.min(Self::BYTES)..].fill(0);
        Ok(Self {
            library: text(&bytes, offset_of!(Block, library)),
            pid: number(&bytes, offset_of!(Block, pid)),
            sequence: number(&bytes, offset_of!(Block, sequence)),
            statistics: statistics(&bytes),
            settings: settings(&bytes),
            governor: governor(&bytes),
            page_map: number(&bytes, offset_of!(Block, page_map)),
            arenas: number(&bytes, offset_of!(Block, arenas)),
            command: number(&bytes, offset_of!(Block, command)),
            served: number(&bytes, offset_of!(Block, served)),
            served_bytes: number(&bytes, offset_of!(Block, served_bytes)),
            pools: pools(&bytes),
        })
    }

    /// The first library of this version had that many.
    const LEAST_BYTES: usize = offset_of!(Block, served_bytes) + 8;

    /// Whether the block was being written when it was read.
    pub const fn is_torn(&self) -> bool {
        self.sequence % 2 == 1
    }
}

fn statistics(bytes: &[u8; Snapshot::BYTES]) -> Statistics {
    Statistics {
        taken_ns: number(bytes, offset_of!(Block, taken_ns)),
        allocated_bytes: number(bytes, offset_of!(Block, allocated_bytes)),
        active_bytes: number(bytes, offset_of!(Block, active_bytes)),
        resident_bytes: number(bytes, offset_of!(Block, resident_bytes)),
        dirty_bytes: number(bytes, offset_of!(Block, dirty_bytes)),
        muzzy_bytes: number(bytes, offset_of!(Block, muzzy_bytes)),
        metadata_bytes: number(bytes, offset_of!(Block, metadata_bytes)),
        retained_bytes: number(bytes, offset_of!(Block, retained_bytes)),
        cached_bytes: number(bytes, offset_of!(Block, cached_bytes)),
    }
}

fn settings(bytes: &[u8; Snapshot::BYTES]) -> Settings {
    Settings {
        n_arenas: number(bytes, offset_of!(Block, n_arenas)),
        background_threads: number::<u32>(bytes, offset_of!(Block, background_threads)) != 0,
        dirty_decay_ms: number(bytes, offset_of!(Block, dirty_decay_ms)),
        muzzy_decay_ms: number(bytes, offset_of!(Block, muzzy_decay_ms)),
        thread_cache_max_bytes: number(bytes, offset_of!(Block, thread_cache_max_bytes)),
        options: text(bytes, offset_of!(Block, options)),
        user_start: number(bytes, offset_of!(Block, user_options_start)),
        n_refused_options: number(bytes, offset_of!(Block, n_refused_options)),
    }
}

fn governor(bytes: &[u8; Snapshot::BYTES]) -> Governor {
    Governor {
        state: word(GovernorState::ALL, number(bytes, offset_of!(Block, governor))),
        n_ticks: number(bytes, offset_of!(Block, n_ticks)),
        cpu_ns: number(bytes, offset_of!(Block, governor_cpu_ns)),
        purge_cpu_ns: number(bytes, offset_of!(Block, purge_cpu_ns)),
        purged_bytes: number(bytes, offset_of!(Block, purged_bytes)),
        limit_bytes: number(bytes, offset_of!(Block, limit_bytes)),
        n_decisions: number(bytes, offset_of!(Block, n_decisions)),
        ring: core::array::from_fn(|nth| {
            let at = offset_of!(Block, decisions) + nth * size_of::<Decision>();
            Choice {
                at_ns: number(bytes, at + offset_of!(Decision, at_ns)),
                bytes: number(bytes, at + offset_of!(Decision, bytes)),
                reason: word(Reason::ALL, number(bytes, at + offset_of!(Decision, reason))),
                refaults_permille: number(bytes, at + offset_of!(Decision, refaults_permille)),
            }
        }),
    }
}

/// The number at `offset`, which is one of the block's own: it always lies inside.
fn pools(bytes: &[u8; Snapshot::BYTES]) -> Range {
    let start: Addr = number(bytes, offset_of!(Block, pools_start));
    let end: Addr = number(bytes, offset_of!(Block, pools_end));
    if start <= end { Range::new(start, end) } else { Range::default() }
}

fn number<T: Scalar + Default>(bytes: &[u8; Snapshot::BYTES], offset: usize) -> T {
    Field::at(offset as u64).get(bytes).unwrap_or_default()
}

fn text<const N: usize>(bytes: &[u8; Snapshot::BYTES], offset: usize) -> Text<N> {
    Text(bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N]))
}

fn word<T: Copy>(words: &[T], position: u32) -> Option<T> {
    words.get(position as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> [u8; Snapshot::BYTES] {
        let mut bytes = [0; Snapshot::BYTES];
        put(&mut bytes, offset_of!(Block, magic), &MAGIC.to_le_bytes());
        put(&mut bytes, offset_of!(Block, version), &VERSION.to_le_bytes());
        put(&mut bytes, offset_of!(Block, size), &(Snapshot::BYTES as u32).to_le_bytes());
        bytes
    }

    fn put(bytes: &mut [u8], at: usize, with: &[u8]) {
        bytes[at..at + with.len()].copy_from_slice(with);
    }

    #[test]
    fn every_part_is_read_from_its_place() {
        let mut bytes = block();
        put(&mut bytes, offset_of!(Block, library), b"0.3.0\0");
        put(&mut bytes, offset_of!(Block, allocated_bytes), &7_u64.to_le_bytes());
        put(&mut bytes, offset_of!(Block, dirty_decay_ms), &(-1_i64).to_le_bytes());
        put(&mut bytes, offset_of!(Block, options), b"narenas:1,thp:\xff\0");
        put(&mut bytes, offset_of!(Block, user_options_start), &10_u32.to_le_bytes());
        put(&mut bytes, offset_of!(Block, governor), &3_u32.to_le_bytes());
        put(&mut bytes, offset_of!(Block, served_bytes), &9_u64.to_le_bytes());
        let snapshot = Snapshot::parse(&bytes).unwrap();
        assert_eq!(snapshot.library.to_string(), "0.3.0");
        assert_eq!(snapshot.statistics.allocated_bytes, 7);
        assert_eq!(snapshot.settings.dirty_decay_ms, -1);
        assert_eq!(snapshot.settings.options().to_string(), "narenas:1,thp:\u{fffd}");
        assert_eq!(snapshot.settings.user_options().to_string(), "thp:\u{fffd}");
        let option = |name| snapshot.settings.option(name).map(|value| value.to_string());
        assert_eq!((option("narenas"), option("nar")), (Some("1".to_owned()), None));
        assert_eq!(snapshot.governor.state, Some(GovernorState::Idle));
        assert_eq!(snapshot.served_bytes, 9);
    }

    #[test]
    fn what_is_no_known_block_is_refused_by_name() {
        let refused = |spoil: fn(&mut [u8])| {
            let mut bytes = block();
            spoil(&mut bytes);
            Snapshot::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(refused(|bytes| bytes[0] ^= 1), "there is no block of slackwater's allocator");
        assert_eq!(refused(|bytes| bytes[8] = 9), "the block has version 9, known is 1");
        assert_eq!(refused(|bytes| bytes[13] = 0), "the block of version 1 has only 0 bytes");
    }

    #[test]
    fn decisions_come_oldest_first_and_unknown_words_are_none() {
        let mut bytes = block();
        for nth in 0..DECISIONS as u32 + 3 {
            let at = offset_of!(Block, decisions) + nth as usize % DECISIONS * size_of::<Decision>();
            put(&mut bytes, at, &u64::from(nth).to_le_bytes());
            put(&mut bytes, at + offset_of!(Decision, reason), &nth.to_le_bytes());
        }
        put(&mut bytes, offset_of!(Block, n_decisions), &(DECISIONS as u32 + 3).to_le_bytes());
        put(&mut bytes, offset_of!(Block, governor), &77_u32.to_le_bytes());
        let governor = Snapshot::parse(&bytes).unwrap().governor;
        let decisions: Vec<_> = governor.decisions().map(|choice| (choice.at_ns, choice.reason)).collect();
        assert_eq!(decisions.len(), DECISIONS);
        assert_eq!(decisions[0], (3, Some(Reason::Asked)));
        assert_eq!(decisions[DECISIONS - 1], (DECISIONS as u64 + 2, None));
        assert_eq!(governor.state, None);
    }

    #[test]
    fn what_an_older_library_lacks_reads_as_nothing() {
        let mut bytes = block();
        let end = offset_of!(Block, served_bytes) + 8;
        put(&mut bytes, offset_of!(Block, size), &(end as u32).to_le_bytes());
        put(&mut bytes, offset_of!(Block, served_bytes), &5_u64.to_le_bytes());
        assert_eq!(Snapshot::parse(&bytes).unwrap().served_bytes, 5);
    }
}
