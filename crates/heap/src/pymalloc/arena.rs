//! One arena: its pools, and whether they agree with what its slot says.

use std::collections::HashMap;

use slackwater_base::{Addr, Class, Ledger, PinReason, PinnedBy, Range};
use slackwater_layout::cpython::{ArenaObject, PymallocState};
use slackwater_memory::{Memory, MemoryError, WINDOW_BYTES, Window};

use super::pool::{Pool, PoolTrouble};
use super::table::{Slot, read_slot};
use crate::{Arena, ArenaKind, Blocks};

/// How often an arena is read before it is given up.
const ATTEMPTS: u32 = 5;
/// How often a pool is read again within one reading of its arena.
const POOL_ATTEMPTS: u32 = 4;

/// One arena as it was read.
pub(super) struct Reading {
    /// The books. What could not be booked is unexplained in them.
    pub(super) arena: Arena,
    /// What is missing from them, if anything.
    pub(super) trouble: Option<Trouble>,
}

/// Why an arena's books are not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nothing in it could be booked.
    #[error("its books did not balance in any of {ATTEMPTS} readings")]
    Unbalanced,
    /// The rest of it could be booked.
    #[error("{}", lost_pools(*torn, *swapped))]
    Pools {
        /// Pools that were changed each time they were read.
        torn: u32,
        /// Pools with a part on swap.
        swapped: u32,
    },
}

fn lost_pools(torn: u32, swapped: u32) -> String {
    let counted = |count: u32| if count == 1 { "1 pool".to_owned() } else { format!("{count} pools") };
    let parts = [(torn, "changed each time they were read"), (swapped, "partly swapped out")];
    let named = parts.into_iter().filter(|&(count, _)| count > 0);
    named.map(|(count, what)| format!("{} {what}", counted(count))).collect::<Vec<_>>().join(", ")
}

/// Reads arenas one after the other, in the same memory of our own.
pub(super) struct Reader<'a, M: ?Sized> {
    memory: &'a M,
    state: &'a PymallocState,
    window: Window,
    pool_window: Window,
}

/// What became of one reading.
enum Attempt {
    Balanced(Box<Sums>),
    Unbalanced,
    Released,
}

/// The sums over the pools of one arena.
#[derive(Default)]
struct Sums {
    live: Blocks,
    ledger: Ledger,
    pinned_by: PinnedBy,
    /// Carved pools without a live block, each with the next one of the arena's chain.
    free: HashMap<Addr, Addr>,
    torn: u32,
    swapped: u32,
}

impl<'a, M: Memory + ?Sized> Reader<'a, M> {
    pub(super) fn new(memory: &'a M, state: &'a PymallocState) -> Self {
        Self { memory, state, window: Window::new(), pool_window: Window::new() }
    }

    /// Reads the arena of `slot` until its books balance, a few times at most. `None` when the target
    /// has given it back since.
    pub(super) fn read(&mut self, slot: Slot) -> Result<Option<Reading>, MemoryError> {
        let mut arena = Arena::new(slot.address, ArenaKind::Pymalloc);
        arena.mapped_bytes = self.state.geometry.arena_bytes;
        while arena.retries < ATTEMPTS {
            let is_last = arena.retries + 1 == ATTEMPTS;
            match self.attempt(slot, is_last)? {
                Attempt::Released => return Ok(None),
                Attempt::Unbalanced => arena.retries += 1,
                Attempt::Balanced(sums) => return Ok(Some(sums.reading(arena))),
            }
        }
        for part in parts(slot.address, self.state) {
            self.memory.window(part, &mut self.window)?;
            arena.ledger[Class::Unexplained] += self.window.resident(part);
        }
        Ok(Some(Reading { arena, trouble: Some(Trouble::Unbalanced) }))
    }

    fn attempt(&mut self, slot: Slot, is_last: bool) -> Result<Attempt, MemoryError> {
        let Some(before) = self.slot(slot)? else {
            return Ok(Attempt::Unbalanced);
        };
        if before.address != slot.address {
            return Ok(Attempt::Released);
        }
        if !before.is_sound(self.state.geometry) {
            return Ok(Attempt::Unbalanced);
        }
        let sums = self.pools(slot, &before)?;
        let is_unchanged = self.slot(slot)?.is_some_and(|after| same_books(&before, &after));
        // Torn pools are worth another reading; in the last one they are all that is lost.
        if is_unchanged && (sums.torn == 0 || is_last) && balances(&before, &sums, self.state) {
            Ok(Attempt::Balanced(Box::new(sums)))
        } else {
            Ok(Attempt::Unbalanced)
        }
    }

    /// What the slot says; `None` when the table has just been moved.
    fn slot(&self, slot: Slot) -> Result<Option<ArenaObject>, MemoryError> {
        match read_slot(self.memory, self.state, slot.index) {
            Ok(arena) => Ok(arena),
            Err(error @ (MemoryError::Denied | MemoryError::Gone)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn pools(&mut self, slot: Slot, arena: &ArenaObject) -> Result<Sums, MemoryError> {
        let geometry = self.state.geometry;
        let pools = geometry.pools(slot.address);
        let mut sums = Sums::default();
        for part in parts(slot.address, self.state) {
            self.memory.window(part, &mut self.window)?;
            let lost = [Range::new(part.start, pools.start), Range::new(pools.end, part.end)];
            for range in lost {
                sums.ledger[Class::AllocatorOverhead] += self.window.resident(range.intersect(part));
            }
            let mut start = pools.start.max(part.start);
            while start < arena.pool_address.min(part.end) {
                match self.pool(start, slot.index)? {
                    Ok(pool) => sums.add(start, &pool),
                    Err(trouble) => {
                        let range = Range::sized(start, geometry.pool_bytes);
                        sums.ledger[Class::Unexplained] += self.window.resident(range);
                        match trouble {
                            PoolTrouble::Torn => sums.torn += 1,
                            PoolTrouble::Swapped => sums.swapped += 1,
                        }
                    }
                }
                start = start + geometry.pool_bytes;
            }
            let never_carved = Range::new(arena.pool_address, pools.end).intersect(part);
            let resident = self.window.resident(never_carved);
            sums.ledger[Class::SlackPinned] += resident;
            sums.pinned_by[PinReason::Pools] += resident;
        }
        Ok(sums)
    }

    /// The books of one pool, which is read again when it is torn: a pool is read in microseconds,
    /// so that most changes are outrun.
    fn pool(&mut self, start: Addr, arena_idx: u32) -> Result<Result<Pool, PoolTrouble>, MemoryError> {
        let geometry = self.state.geometry;
        let mut pool = Pool::read(&self.window, start, geometry, arena_idx);
        for _ in 0..POOL_ATTEMPTS {
            if !matches!(pool, Err(PoolTrouble::Torn)) {
                break;
            }
            self.memory.window(Range::sized(start, geometry.pool_bytes), &mut self.pool_window)?;
            pool = Pool::read(&self.pool_window, start, geometry, arena_idx);
        }
        Ok(pool)
    }
}

impl Sums {
    fn add(&mut self, start: Addr, pool: &Pool) {
        self.live.count += pool.live.count;
        self.live.bytes += pool.live.bytes;
        self.ledger += &pool.ledger;
        self.pinned_by += &pool.pinned_by;
        if pool.live.count == 0 {
            self.free.insert(start, pool.next);
        }
    }

    fn reading(&self, arena: Arena) -> Reading {
        let trouble = Trouble::Pools { torn: self.torn, swapped: self.swapped };
        Reading {
            arena: Arena { live: self.live, ledger: self.ledger, pinned_by: self.pinned_by, ..arena },
            trouble: (self.torn + self.swapped > 0).then_some(trouble),
        }
    }
}

/// The arena in parts that fit a window, none of which ends inside a pool.
fn parts(address: Addr, state: &PymallocState) -> impl Iterator<Item = Range> {
    let arena = Range::sized(address, state.geometry.arena_bytes);
    let pool_bytes = state.geometry.pool_bytes;
    let mut from = arena.start;
    std::iter::from_fn(move || {
        if from >= arena.end {
            return None;
        }
        let rest = Range::new(from, arena.end);
        let part = if rest.len() <= WINDOW_BYTES {
            rest
        } else {
            Range::new(from, (from + WINDOW_BYTES).align_down(pool_bytes))
        };
        from = part.end;
        Some(part)
    })
}

/// Whether the pools without a live block are those that the slot counts and chains.
fn balances(arena: &ArenaObject, sums: &Sums, state: &PymallocState) -> bool {
    let geometry = state.geometry;
    let pools = geometry.pools(arena.address);
    let never_carved = pools.end.offset_from(arena.pool_address) / geometry.pool_bytes;
    let Some(expected) = u64::from(arena.n_free_pools).checked_sub(never_carved) else {
        return false;
    };
    let seen = sums.free.len() as u64;
    let unknown = u64::from(sums.torn + sums.swapped);
    if unknown > 0 {
        // The chain leads through pools that could not be read: only the number can be held to it.
        return seen <= expected && expected <= seen + unknown;
    }
    let mut next = arena.free_pools;
    for _ in 0..expected {
        match sums.free.get(&next) {
            Some(&after) => next = after,
            None => return false,
        }
    }
    // As many steps as free pools, and then the end: no pool was visited twice.
    seen == expected && next.is_null()
}

/// Whether nothing that the books rest on has changed. The lists an arena is on are not among it.
fn same_books(before: &ArenaObject, after: &ArenaObject) -> bool {
    let books = |arena: &ArenaObject| {
        (arena.address, arena.pool_address, arena.n_free_pools, arena.n_pools, arena.free_pools)
    };
    books(before) == books(after)
}
