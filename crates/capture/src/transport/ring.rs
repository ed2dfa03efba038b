//! A ring of slots: many threads push, one collector drains.
//!
//! A slot is three words. Its first one is 0 until the slot is whole, so a thread that is stopped in the
//! middle holds back what came after it, and nothing else. A message takes one slot, or several in a row:
//! then only the first one says that all are there.
//!
//! ```text
//! head   counts slots that were reserved     tail   counts slots that were drained
//! seen   a former tail, beside the head: writers look at the tail only when this one leaves no room
//! ```
//!
//! Invariants: head - tail is at most the number of slots; seen is at most tail; the first word of every
//! slot outside of tail..head is 0, because the collector clears what it has read before it moves the tail.
//! Nothing in a writer's part can panic.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::AtomicU64;

/// Words of a slot.
pub const SLOT_WORDS: usize = 3;

/// Words before the slots. Owner, head and tail are on cache lines of their own.
pub(super) const HEADER_WORDS: usize = 64;
const OWNER: usize = 0;
const PARENT: usize = 1;
const LOST: usize = 2;
const DEGRADED: usize = 3;
const HEAD: usize = 16;
const SEEN: usize = 17;
const TAIL: usize = 32;

/// The three words of a slot.
pub type Slot = [u64; SLOT_WORDS];

/// There is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// What stopped a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Nothing is left.
    Empty,
    /// As much as was asked for.
    Enough,
    /// The next slot is reserved, but not whole.
    Unfinished,
}

/// One ring in shared memory. The number of slots is a power of two.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'m> {
    header: &'m [AtomicU64; HEADER_WORDS],
    /// Three times as many as slots.
    words: &'m [AtomicU64],
    n_slots: usize,
}

impl<'m> Ring<'m> {
    /// Words of a ring with `n_slots`.
    pub const fn words(n_slots: usize) -> usize {
        HEADER_WORDS + n_slots * SLOT_WORDS
    }

    /// The ring in these words; `None` when they are too few, or no power of two.
    pub fn new(words: &'m [AtomicU64]) -> Option<Self> {
        let n_slots = words.len().checked_sub(HEADER_WORDS)? / SLOT_WORDS;
        if n_slots.is_power_of_two() { Self::with_slots(words, n_slots) } else { None }
    }

    /// As [`Ring::new`], where the number of slots is known, and known to be a power of two.
    #[inline]
    pub(super) fn with_slots(words: &'m [AtomicU64], n_slots: usize) -> Option<Self> {
        let (header, words) = words.split_first_chunk()?;
        Some(Self { header, words: words.get(..n_slots * SLOT_WORDS)?, n_slots })
    }

    /// Slots that it has.
    pub const fn n_slots(&self) -> u64 {
        self.n_slots as u64
    }

    /// Takes the ring for a process, unless somebody has it.
    pub fn claim(&self, pid: u32, parent: u32) -> bool {
        let taken = self.header[OWNER].compare_exchange(0, u64::MAX, AcqRel, Relaxed).is_ok();
        if taken {
            self.header[PARENT].store(u64::from(parent), Relaxed);
            self.header[OWNER].store(u64::from(pid), Release);
        }
        taken
    }

    /// Whose it is.
    pub fn owner(&self) -> Option<u32> {
        u32::try_from(self.header[OWNER].load(Acquire)).ok().filter(|&pid| pid != 0)
    }

    /// The process that its owner was forked from, 0 if it was not forked.
    pub fn parent(&self) -> u32 {
        self.header[PARENT].load(Relaxed) as u32
    }

    /// Gives the ring back. For the collector, when its owner is gone and it is drained to its end: then
    /// every slot is clear, and those that were never used stay without memory.
    pub fn release(&self) {
        for word in self.header.iter().skip(1) {
            word.store(0, Relaxed);
        }
        self.header[OWNER].store(0, Release);
    }

    /// Counts events that did not fit.
    pub fn count_lost(&self, n_events: u64) {
        self.header[LOST].fetch_add(n_events, Relaxed);
    }

    /// Events that did not fit, since this was asked last.
    pub fn take_lost(&self) -> u64 {
        match self.header[LOST].load(Relaxed) {
            0 => 0,
            _ => self.header[LOST].swap(0, Relaxed),
        }
    }

    /// Says that only samples follow.
    pub fn degrade(&self) {
        self.header[DEGRADED].store(1, Release);
    }

    /// Whether only samples follow, since this was asked last.
    pub fn take_degraded(&self) -> bool {
        self.header[DEGRADED].load(Relaxed) != 0 && self.header[DEGRADED].swap(0, Acquire) != 0
    }

    /// Slots that were ever reserved; standing still while the ring is full means that nobody drains.
    pub fn drained(&self) -> u64 {
        self.header[TAIL].load(Relaxed)
    }

    /// Pushes a message of one slot. Its first word must not be 0.
    ///
    /// # Errors
    /// When there is no room now.
    #[inline]
    pub fn push(&self, slot: Slot) -> Result<(), Full> {
        let start = self.reserve(1)?;
        self.write(start, slot);
        Ok(())
    }

    /// Pushes a message of several slots: `first`, whose first word must not be 0, then `n_more`.
    ///
    /// # Errors
    /// When there is no room now.
    pub fn push_many(&self, first: Slot, n_more: u64, mut more: impl FnMut(u64) -> Slot) -> Result<(), Full> {
        let start = self.reserve(1 + n_more)?;
        for idx in 0..n_more {
            self.write(start.wrapping_add(1 + idx), more(idx));
        }
        self.write(start, first);
        Ok(())
    }

    #[inline]
    fn reserve(&self, n_slots: u64) -> Result<u64, Full> {
        let mut head = self.header[HEAD].load(Relaxed);
        // Acquire: the slots are clear up to this tail, for us too if another writer has seen it.
        let mut tail = self.header[SEEN].load(Acquire);
        loop {
            // A tail from after `head` was read makes this huge; the exchange below would fail then.
            if head.wrapping_sub(tail).wrapping_add(n_slots) > self.n_slots() {
                let former = (head, tail);
                tail = self.header[TAIL].load(Acquire);
                self.header[SEEN].store(tail, Release);
                head = self.header[HEAD].load(Relaxed);
                if (head, tail) == former {
                    return Err(Full);
                }
                continue;
            }
            match self.header[HEAD].compare_exchange_weak(head, head.wrapping_add(n_slots), Relaxed, Relaxed)
            {
                Ok(_) => return Ok(head),
                Err(now) => head = now,
            }
        }
    }

    #[inline]
    fn write(&self, at: u64, slot: Slot) {
        let Some([first, second, third]) = self.at(at) else { return };
        second.store(slot[1], Relaxed);
        third.store(slot[2], Relaxed);
        // Release: whoever sees this word sees the others, and those of the slots written before.
        first.store(slot[0], Release);
    }

    /// The slot of this number. There always is one: a power of two is not 0.
    #[inline]
    fn at(&self, at: u64) -> Option<&'m [AtomicU64; SLOT_WORDS]> {
        let start = (at as usize & self.n_slots.wrapping_sub(1)) * SLOT_WORDS;
        self.words.get(start..)?.first_chunk()
    }

    fn read(&self, at: u64) -> Slot {
        self.at(at).map_or([0; SLOT_WORDS], |words| words.each_ref().map(|word| word.load(Relaxed)))
    }

    fn clear(&self, at: u64) {
        if let Some([first, ..]) = self.at(at) {
            first.store(0, Relaxed);
        }
    }

    /// Drains up to `most` slots into `each`, message by message: `more` of each message says how many
    /// slots follow its first one, and they are given in `each`'s second argument.
    pub fn drain(
        &self,
        most: u64,
        more: impl Fn(&Slot) -> u64,
        mut each: impl FnMut(&Slot, &mut dyn Iterator<Item = Slot>),
    ) -> Drained {
        let mut tail = self.header[TAIL].load(Relaxed);
        // Acquire is not needed: the slots' own first words are what is waited for.
        let head = self.header[HEAD].load(Relaxed);
        // A forged head must not make us run forever.
        let ready = head.wrapping_sub(tail).min(self.n_slots());
        let end = tail.wrapping_add(ready.min(most));
        let limit = tail.wrapping_add(ready);
        let mut stopped = if ready > most { Drained::Enough } else { Drained::Empty };
        while end.wrapping_sub(tail) as i64 > 0 {
            let first = self.at(tail).map_or(0, |words| words[0].load(Acquire));
            if first == 0 {
                stopped = Drained::Unfinished;
                break;
            }
            let [_, second, third] = self.read(tail);
            let slot = [first, second, third];
            let n_more = more(&slot).min(limit.wrapping_sub(tail) - 1);
            each(&slot, &mut (1..=n_more).map(|idx| self.read(tail.wrapping_add(idx))));
            (0..=n_more).for_each(|idx| self.clear(tail.wrapping_add(idx)));
            tail = tail.wrapping_add(1 + n_more);
            if tail & 63 == 0 {
                self.header[TAIL].store(tail, Release);
            }
        }
        // Release: who reserves these slots finds them clear.
        self.header[TAIL].store(tail, Release);
        stopped
    }

    /// Whether there is no room for another message.
    pub fn is_full(&self) -> bool {
        self.used() >= self.n_slots().saturating_sub(64)
    }

    /// Whether there is room for a while: for a quarter of what it holds.
    pub fn is_relieved(&self) -> bool {
        self.used() <= self.n_slots() - self.n_slots() / 4
    }

    fn used(&self) -> u64 {
        self.header[HEAD].load(Relaxed).wrapping_sub(self.header[TAIL].load(Relaxed))
    }

    /// Passes over one unfinished slot, whose writer is dead or was thrown out of its function.
    pub fn skip(&self) {
        let tail = self.header[TAIL].load(Relaxed);
        if self.header[HEAD].load(Relaxed) != tail {
            self.clear(tail);
            self.header[TAIL].store(tail.wrapping_add(1), Release);
        }
    }
}
