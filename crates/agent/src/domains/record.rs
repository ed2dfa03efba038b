//! The records through which the interpreter calls its allocators, and how one of them is found.
//!
//! ```text
//! PyMemAllocatorEx    context, malloc, calloc, realloc, free                         40 bytes
//! debug_alloc_api_t   'r', 'm' or 'o', 7 bytes of padding, PyMemAllocatorEx          48 bytes
//! ```
//!
//! tracemalloc and the debug hooks put aside the record that they stand in front of, within the interpreter's
//! data, and name it as their context; an allocator has none. (Objects/obmalloc.c, Python/tracemalloc.c and
//! Modules/_tracemalloc.c from v3.8 to v3.15.)
//!
//! The record in use is where its copy by `PyMem_GetAllocator` says that it is: the only place in the data
//! that holds the same. Two domains may hold the same, and the debug hooks' copies do, too; then one word of
//! each such place is changed for an instant to a function that does the same, until the copy has it.
//!
//! Invariant: words of the interpreter's own data, which stays mapped; each is read and written whole.
#![allow(unsafe_code)] // the interpreter's data

use core::ffi::{c_int, c_void};
use core::ops::{Range, RangeInclusive};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::FUNCTIONS;
use crate::attach::definition;

/// The function whose word is changed to find a record: the one that is called least.
pub(super) const CALLOC: usize = 1;

/// Most that stand in front of one another.
const DEEPEST: usize = 8;
/// Words of a record.
const WORDS: usize = 1 + FUNCTIONS;
/// How the debug hooks mark their records.
const DEBUG_API_IDS: [u8; 3] = *b"rmo";

/// CPython's `PyMemAllocatorEx`.
#[repr(C)]
#[derive(Default)]
pub(super) struct Record {
    context: AtomicU64,
    functions: [AtomicU64; FUNCTIONS],
}

impl Record {
    pub(super) fn address(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    pub(super) fn function(&self, number: usize) -> u64 {
        self.functions.get(number).map_or(0, |function| function.load(Acquire))
    }

    /// Exchanges a function for another; whether it was the first of the two.
    pub(super) fn exchange(&self, number: usize, from: u64, to: u64) -> bool {
        let function = self.functions.get(number);
        function.is_some_and(|function| function.compare_exchange(from, to, AcqRel, Relaxed).is_ok())
    }

    fn words(&self) -> [u64; WORDS] {
        let mut words = [self.context.load(Acquire); WORDS];
        for (word, function) in words.iter_mut().skip(1).zip(&self.functions) {
            *word = function.load(Acquire);
        }
        words
    }
}

/// The interpreter's data.
#[derive(Clone, Copy)]
pub(super) struct Data {
    start: u64,
    end: u64,
}

impl Data {
    /// What lies between must be the data of a loaded object that stays, or be empty.
    pub(super) const fn new(start: u64, end: u64) -> Self {
        Self { start: start.next_multiple_of(8), end }
    }

    fn range(self) -> Range<u64> {
        self.start..self.end
    }

    /// The record at an address, if one has room there.
    pub(super) fn record_at(self, address: u64) -> Option<&'static Record> {
        let last = self.end.checked_sub(size_of::<Record>() as u64)?;
        let is_within = (self.start..=last).contains(&address) && address.is_multiple_of(8);
        // SAFETY: within the interpreter's data, which nobody unmaps, aligned; words that others change too are
        // atomic here, and on this architecture to them.
        is_within.then(|| unsafe { &*(address as *const Record) })
    }

    /// Shows a record and all that are put aside behind it; whether the last one is that of an allocator.
    pub(super) fn each_from<'a>(self, first: &'a Record, mut show: impl FnMut(&'a Record)) -> bool {
        let mut record = first;
        for _ in 0..DEEPEST {
            show(record);
            let context = record.context.load(Acquire);
            if context == 0 {
                return true;
            }
            let Some(next) = self.put_aside(context) else { return false };
            record = next;
        }
        false
    }

    /// The record of the allocator itself; `None` when the way there is not known.
    pub(super) fn end_of(self, first: &Record) -> Option<&Record> {
        let mut last = first;
        self.each_from(first, |record| last = record).then_some(last)
    }

    /// The record that a context names.
    fn put_aside(self, context: u64) -> Option<&'static Record> {
        let record = self.record_at(context)?;
        let is_debug = DEBUG_API_IDS.contains(&(record.context.load(Relaxed) as u8));
        let record = if is_debug { self.record_at(context + 8)? } else { record };
        let [context, functions @ ..] = record.words();
        let is_one = (context == 0 || self.range().contains(&context))
            && functions.iter().all(|function| *function != 0 && !self.range().contains(function));
        is_one.then_some(record)
    }

    /// Exchanges each word that is one of `those` for another one, where there is one for it.
    pub(super) fn replace_each(self, those: RangeInclusive<u64>, other: impl Fn(u64) -> Option<u64>) {
        for address in self.range().step_by(8).take_while(|address| address + 8 <= self.end) {
            // SAFETY: as in `record_at`.
            let word = unsafe { &*(address as *const AtomicU64) };
            let found = word.load(Relaxed);
            if those.contains(&found)
                && let Some(other) = other(found)
            {
                let _ = word.compare_exchange(found, other, AcqRel, Relaxed);
            }
        }
    }

    /// Every place that holds the same as a copy.
    fn same_as(self, copy: &Record) -> impl Iterator<Item = &'static Record> {
        let words = copy.words();
        let addresses = self.range().step_by(8);
        addresses.filter_map(move |address| {
            let record = self.record_at(address)?;
            (record.function(0) == words[1] && record.words() == words).then_some(record)
        })
    }
}

type GetAllocator = unsafe extern "C" fn(c_int, *mut c_void);

/// `PyMem_GetAllocator`, which copies the record of a domain.
pub(super) struct Get {
    function: GetAllocator,
}

impl Get {
    pub(super) fn find() -> Option<Self> {
        let address = definition(c"PyMem_GetAllocator");
        if address == 0 {
            return None;
        }
        // SAFETY: CPython's function of that name, of that type since 3.4.
        Some(Self { function: unsafe { core::mem::transmute::<usize, GetAllocator>(address) } })
    }

    pub(super) fn address(&self) -> u64 {
        self.function as usize as u64
    }

    pub(super) fn copy(&self, domain: usize) -> Record {
        let mut copy = Record::default();
        // SAFETY: may be called at any time, also before the interpreter begins and without its lock; it writes
        // five words. Its own lock (since 3.12) is held only while as much is copied, by nobody who waits.
        unsafe { (self.function)(domain as c_int, (&raw mut copy).cast()) };
        copy
    }
}

/// The record in use, where `ours` may stand for its `calloc`.
pub(super) fn in_use(domain: usize, get: &Get, data: Data, ours: u64) -> Option<&'static Record> {
    let copy = get.copy(domain);
    let mut same = data.same_as(&copy);
    let first = same.next()?;
    if same.next().is_none() {
        return Some(first);
    }
    if copy.words()[0] != 0 {
        // Ours would not call what stands here, but what is behind it.
        return None;
    }
    let theirs = copy.function(CALLOC);
    data.same_as(&copy).find(|record| {
        if !record.exchange(CALLOC, theirs, ours) {
            return false;
        }
        let is_in_use = get.copy(domain).function(CALLOC) == ours;
        record.exchange(CALLOC, ours, theirs);
        is_in_use
    })
}
