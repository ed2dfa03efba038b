//! What one thread remembers between walks: the rules of the code that it has passed, how far its stack can
//! be read, its last walk, and what that was made into.
//!
//! ```text
//! head    list  thread  low  high  patience  is deep  ...
//! rules   pc  rule (2 words)  key of the location       one entry
//! behind  calls   steps   trail                         see there
//! ```
//!
//! Invariant: only its thread uses it, and only in one hook at a time. An entry whose pc is there is whole,
//! and of the list in the head.
#![allow(unsafe_code)] // the words of a room as its fields

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};

use slackwater_unwind::{List, RULE_WORDS};

use super::calls::Calls;
use super::steps::Steps;
use super::trail::Trail;

const HEAD_WORDS: usize = 8;
const LIST: usize = 0;
const THREAD: usize = 1;
const LOW: usize = 2;
const HIGH: usize = 3;
const WAITS: usize = 4;
const IS_DEEP: usize = 5;

const ENTRIES: usize = 512;
const ENTRY_WORDS: usize = 4;

/// Words for one thread, in whole pages.
pub(crate) const ROOM_WORDS: usize = (size_of::<Cache>() / 8).next_multiple_of(512);

/// What is known of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) rule: [u64; RULE_WORDS],
    /// The key of its location; 0 until it is needed.
    pub(super) key: u64,
}

/// The memory of one thread.
#[repr(C)]
pub(crate) struct Cache {
    head: [AtomicU64; HEAD_WORDS],
    entries: [[AtomicU64; ENTRY_WORDS]; ENTRIES],
    pub(super) calls: Calls,
    pub(super) steps: Steps,
    pub(super) trail: Trail,
}

impl Cache {
    /// The room in these words.
    #[inline]
    pub(crate) fn new(words: &'static [AtomicU64; ROOM_WORDS]) -> &'static Self {
        // SAFETY: a room consists of such words and of nothing else, and `ROOM_WORDS` hold it.
        unsafe { &*words.as_ptr().cast() }
    }

    /// Forgets what is no longer true: with another list all rules, and walks by them, in another thread its
    /// stack.
    pub(super) fn renew(&self, list: List, tid: u32) {
        if self.head[THREAD].load(Relaxed) != u64::from(tid) {
            self.head[HIGH].store(0, Relaxed);
            self.head[WAITS].store(0, Relaxed);
            self.trail.forget();
            self.head[THREAD].store(u64::from(tid), Release);
        }
        if self.head[LIST].load(Relaxed) != list.0 {
            self.entries.iter().for_each(|[pc, ..]| pc.store(0, Relaxed));
            self.trail.forget();
            self.head[LIST].store(list.0, Release);
        }
    }

    /// Whether all is of this list and this thread.
    #[inline]
    pub(super) fn is_of(&self, list: List, tid: u32) -> bool {
        self.head[LIST].load(Relaxed) == list.0 && self.head[THREAD].load(Relaxed) == u64::from(tid)
    }

    fn entry(&self, pc: u64) -> &[AtomicU64; ENTRY_WORDS] {
        // The lowest bits of return addresses are as good as any.
        &self.entries[(pc ^ pc >> 9) as usize % ENTRIES]
    }

    /// What is remembered of the code at `pc`.
    #[inline]
    pub(super) fn get(&self, pc: u64) -> Option<Known> {
        let [at, first, second, key] = self.entry(pc);
        let known = Known { rule: [first.load(Relaxed), second.load(Relaxed)], key: key.load(Relaxed) };
        (at.load(Relaxed) == pc).then_some(known)
    }

    /// Remembers it.
    pub(super) fn put(&self, pc: u64, known: Known) {
        let [at, first, second, key] = self.entry(pc);
        at.store(0, Relaxed);
        // Release: a hook that is left in the middle, by a jump out of a signal's handler, leaves no entry.
        first.store(known.rule[0], Release);
        second.store(known.rule[1], Relaxed);
        key.store(known.key, Relaxed);
        at.store(pc, Release);
    }

    /// Where the stack was found readable, from the lowest address on; empty before.
    pub(super) fn stack(&self) -> (u64, u64) {
        (self.head[LOW].load(Relaxed), self.head[HIGH].load(Relaxed))
    }

    /// It is readable there.
    pub(super) fn set_stack(&self, low: u64, high: u64) {
        self.head[LOW].store(low, Relaxed);
        self.head[HIGH].store(high, Relaxed);
    }

    /// Whether the last stack was too deep to be remembered.
    #[inline]
    pub(super) fn is_deep(&self) -> bool {
        self.head[IS_DEEP].load(Relaxed) != 0
    }

    /// Whether it is.
    pub(super) fn set_deep(&self, is_deep: bool) {
        self.head[IS_DEEP].store(u64::from(is_deep), Relaxed);
    }

    /// How often this thread has waited in vain.
    pub(super) fn waits(&self) -> &AtomicU64 {
        &self.head[WAITS]
    }
}
