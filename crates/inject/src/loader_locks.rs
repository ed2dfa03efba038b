//! The locks of the target's dynamic loader: where they are, and whether somebody holds one.
//!
//! `dlopen` takes them, and whoever waits for a lock that is never given back waits for ever, with all
//! signals blocked. A thread may keep one for long: a constructor that waits, a callback of
//! `dl_iterate_phdr`. So they are looked at before a thread is sent into the loader. One that is taken in
//! the instant between is merely waited for.
//!
//! They are found by their shape: `_rtld_global`, which the loader exports to the C library, holds
//! `_dl_load_lock` and `_dl_load_write_lock` side by side, recursive mutexes both (struct rtld_global in
//! sysdeps/generic/ldsodefs.h, glibc 2.17 to 2.43).
//!
//! Invariant: only reads.

use std::time::{Duration, Instant};

use slackwater_base::{Addr, Range, Tid};

use crate::code::Code;
use crate::error::InjectError;
use crate::module::Role;
use crate::{Options, Target, stop, sys};

/// `pthread_mutex_t`: lock, count, owner, users, kind, ... in words of four bytes.
const MUTEX_BYTES: usize = 40;
/// There are two or, since glibc 2.35, three of them.
const LOCKS: usize = 3;
/// How long a lock may be held before it is asked whether loading goes on.
const GOING_ON: Duration = Duration::from_millis(50);
/// `PTHREAD_MUTEX_RECURSIVE_NP`.
const RECURSIVE: u32 = 1;
/// Largest `_rtld_global` that is believed. Real ones have some 4 KiB.
const LARGEST: u64 = 64 << 10;

/// The two locks of a loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoaderLocks {
    /// Held while objects are loaded, initialised or unloaded.
    pub load: Addr,
    /// Held while the list of objects is changed or gone through.
    pub list: Addr,
    /// All that the loader keeps for the C library.
    global: Range,
}

impl LoaderLocks {
    /// Finds them.
    pub(crate) fn find(target: &Target<'_>, code: &Code<'_>) -> Result<Self, InjectError> {
        let is_loader = |file: &str| Role::of(file) == Role::Loader;
        let global = code.exported_among("_rtld_global", is_loader);
        let found = global.and_then(|(range, _)| {
            let mut bytes = vec![0; range.len().min(LARGEST) as usize];
            sys::read_memory(target.memory(), range.start, &mut bytes).ok()?;
            let load = range.start + locks_in(&bytes)? as u64;
            Some((Range::sized(range.start, bytes.len() as u64), load))
        });
        let found =
            found.ok_or_else(|| target.lacking("the locks of its loader are not where they should be"))?;
        let (global, load) = found;
        Ok(Self { load, list: load + MUTEX_BYTES as u64, global })
    }

    /// Waits until nobody holds either, as long as there is time to search. Where one is hardly ever free
    /// it is enough that loading goes on: the loader counts objects that come and go beside its locks.
    pub(crate) fn await_free(&self, target: &Target<'_>, options: &Options) -> Result<(), InjectError> {
        let start = Instant::now();
        let first = self.look(target)?;
        let mut last = first.clone();
        loop {
            let Some(tid) = self.owner(&last) else { return Ok(()) };
            if start.elapsed() >= options.search {
                return Err(InjectError::LoaderBusy { pid: target.pid(), tid: Tid(tid) });
            }
            if start.elapsed() >= GOING_ON && self.without_locks(&last) != self.without_locks(&first) {
                return Ok(());
            }
            stop::wait(start.elapsed());
            last = self.look(target)?;
        }
    }

    fn look(&self, target: &Target<'_>) -> Result<Vec<u8>, InjectError> {
        let mut bytes = vec![0; self.global.len() as usize];
        sys::read_memory(target.memory(), self.global.start, &mut bytes)
            .map_err(|_| InjectError::Gone { pid: target.pid() })?;
        Ok(bytes)
    }

    fn owner(&self, global: &[u8]) -> Option<i32> {
        [self.load, self.list]
            .into_iter()
            .find_map(|lock| owner(global.get(lock.offset_from(self.global.start) as usize..)?))
    }

    fn without_locks<'b>(&self, global: &'b [u8]) -> [&'b [u8]; 2] {
        let at = self.load.offset_from(self.global.start) as usize;
        [global.get(..at).unwrap_or_default(), global.get(at + LOCKS * MUTEX_BYTES..).unwrap_or_default()]
    }
}

/// Who holds a mutex.
fn owner(mutex: &[u8]) -> Option<i32> {
    (word(mutex, 0)? != 0).then(|| word(mutex, 2).unwrap_or(0) as i32)
}

fn word(bytes: &[u8], idx: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(idx * 4..)?.first_chunk()?))
}

/// Where the first of two recursive mutexes begins that lie side by side.
fn locks_in(bytes: &[u8]) -> Option<usize> {
    let is_mutex = |at: usize| {
        let field = |idx: usize| word(bytes.get(at..at + MUTEX_BYTES)?, idx);
        let (Some(lock), Some(count), Some(owner)) = (field(0), field(1), field(2)) else { return false };
        // Free, or held by somebody; nothing in the fields that recursive mutexes do not use.
        let is_sound = if lock == 0 { count == 0 && owner == 0 } else { lock <= 2 };
        is_sound && field(4) == Some(RECURSIVE) && (5..10).all(|idx| field(idx) == Some(0))
    };
    (0..bytes.len()).step_by(8).find(|&at| is_mutex(at) && is_mutex(at + MUTEX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locks_are_found_by_their_shape() {
        let mutex = |lock: u32, owner: u32| {
            let words = [lock, lock, owner, lock, RECURSIVE, 0, 0, 0, 0, 0];
            words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        };
        let check = |first: Vec<u8>, second: Vec<u8>, expected: Option<usize>| {
            let mut bytes = vec![0xff; 200];
            // One alone, as each namespace has it.
            bytes.extend(mutex(0, 0));
            bytes.extend([0x7f; 24]);
            bytes.extend(first.into_iter().chain(second));
            assert_eq!(locks_in(&bytes), expected);
            bytes.truncate(300);
            assert_eq!(locks_in(&bytes), None);
        };
        check(mutex(0, 0), mutex(0, 0), Some(264));
        check(mutex(1, 4711), mutex(2, 4712), Some(264));
        check(mutex(0, 0), vec![0; MUTEX_BYTES], None);
        check(mutex(7, 1), mutex(0, 0), None);
        assert_eq!(owner(&mutex(1, 4711)), Some(4711));
        assert_eq!(owner(&mutex(0, 0)), None);
    }
}
