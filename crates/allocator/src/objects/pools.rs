//! Small blocks, cut from pools of one size each.
//!
//! ```text
//! heads[class] ──▶ pool ⇄ pool ⇄ pool      with a free block each; full pools are on no list
//!                   │
//!                   └ header │ block │ block │ free ──▶ free │ never used yet ...
//! ```
//!
//! Invariants: a pool lies on a multiple of its size, so that a block's address tells its pool. A pool on a
//! list has a free block. Nothing here locks: callers come one at a time (`objects` says why they do).
#![allow(unsafe_code)] // blocks that the program writes into

use core::mem::offset_of;
use core::ptr::null_mut;
use slackwater_layout::slackwater::Pool as Layout;

/// Bytes of a pool.
pub(super) const POOL_BYTES: usize = Layout::BYTES as usize;
/// The largest block that comes from a pool.
pub(super) const BLOCK_BYTES_MAX: usize = 512;

/// Sizes are multiples of it, as are addresses.
const STEP_BYTES: usize = 16;
const CLASSES: usize = BLOCK_BYTES_MAX / STEP_BYTES;
/// Where the first block of a pool is.
const FIRST_BLOCK: usize = size_of::<Pool>().next_multiple_of(STEP_BYTES);

/// Where pools come from and go to.
pub(super) trait Source {
    /// A pool's memory, on a multiple of its size; NULL when there is none.
    fn take(&mut self) -> *mut u8;
    /// Takes back what `take` gave.
    fn give(&mut self, pool: *mut u8);
}

/// A block that nobody uses.
#[repr(C)]
struct Free {
    next: *mut Free,
}

/// What stands at the beginning of a pool.
#[repr(C)]
struct Pool {
    next: *mut Pool,
    previous: *mut Pool,
    free: *mut Free,
    n_used: u32,
    block_bytes: u32,
    /// Offset of the first block that was never used.
    untouched: u32,
}

// A walk from outside reads it.
const _: () = assert!(offset_of!(Pool, n_used) as u64 == Layout::OFFSET);
const _: () = assert!(offset_of!(Pool, block_bytes) as u64 == Layout::OFFSET + 4);
const _: () = assert!(FIRST_BLOCK as u64 == Layout::FIRST_BLOCK);

/// All pools.
pub(super) struct Pools<S> {
    heads: [*mut Pool; CLASSES],
    source: S,
}

impl<S: Source> Pools<S> {
    pub(super) const fn new(source: S) -> Self {
        Self { heads: [null_mut(); CLASSES], source }
    }

    /// A block of at least `n_bytes`, which is 1 to [`BLOCK_BYTES_MAX`]; NULL when there is no memory.
    #[inline(always)]
    pub(super) fn allocate(&mut self, n_bytes: usize) -> *mut u8 {
        let class = (n_bytes - 1) / STEP_BYTES % CLASSES;
        let head = self.heads[class];
        if head.is_null() {
            return self.allocate_in_new_pool(class);
        }
        // SAFETY: a pool on a list is ours, and nobody else refers to it.
        let pool = unsafe { &mut *head };
        let block = pool.free;
        // SAFETY: a pool on a list has a free block, and free blocks are ours.
        let next = unsafe { (*block).next };
        pool.n_used += 1;
        pool.free = next;
        if next.is_null() {
            // SAFETY: on the list, and without a free block now.
            unsafe { self.find_more(class, head) };
        }
        block.cast()
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It came from [`Pools::allocate`] and is not used any more.
    #[inline(always)]
    pub(super) unsafe fn free(&mut self, block: *mut u8) {
        let head = pool_of(block);
        let block = block.cast::<Free>();
        // SAFETY: the pool of a used block is ours, and nobody else refers to it.
        let pool = unsafe { &mut *head };
        let next = pool.free;
        // SAFETY: the block was the caller's, and is ours now.
        unsafe { (*block).next = next };
        pool.free = block;
        pool.n_used -= 1;
        if next.is_null() || pool.n_used == 0 {
            // SAFETY: it was full if it had no free block, and else on its list.
            unsafe { self.change_lists(head, next.is_null()) };
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_in_new_pool(&mut self, class: usize) -> *mut u8 {
        let head = self.source.take().cast::<Pool>();
        if head.is_null() {
            return null_mut();
        }
        let block_bytes = ((class + 1) * STEP_BYTES) as u32;
        let pool = Pool {
            next: null_mut(),
            previous: null_mut(),
            free: null_mut(),
            n_used: 1,
            block_bytes,
            untouched: FIRST_BLOCK as u32 + block_bytes,
        };
        // SAFETY: a pool's memory, and nobody else's.
        unsafe { head.write(pool) };
        // SAFETY: ours, and on no list.
        unsafe { self.link(class, head) };
        // SAFETY: on the list, and without a free block.
        unsafe { self.find_more(class, head) };
        head.map_addr(|start| start + FIRST_BLOCK).cast()
    }

    /// A pool whose last free block was taken gets a new one, or leaves its list.
    ///
    /// # Safety
    /// The pool is on the list of `class`, and has no free block.
    #[inline(never)]
    unsafe fn find_more(&mut self, class: usize, head: *mut Pool) {
        // SAFETY: a pool on a list is ours, and nobody else refers to it.
        let pool = unsafe { &mut *head };
        let end = pool.untouched + pool.block_bytes;
        if end as usize > POOL_BYTES {
            // SAFETY: by the contract.
            unsafe { self.unlink(class, head) };
            return;
        }
        let block = head.map_addr(|start| start + pool.untouched as usize).cast::<Free>();
        // SAFETY: an untouched block that ends within its pool is nobody's.
        unsafe { (*block).next = null_mut() };
        pool.free = block;
        pool.untouched = end;
    }

    /// After a block came back to a pool that was full, or that is empty now.
    ///
    /// # Safety
    /// The pool is ours; it was on its list unless it was full.
    #[cold]
    #[inline(never)]
    unsafe fn change_lists(&mut self, head: *mut Pool, was_full: bool) {
        // SAFETY: by the contract; nobody else refers to it.
        let pool = unsafe { &mut *head };
        let class = (pool.block_bytes as usize / STEP_BYTES - 1) % CLASSES;
        let is_empty = pool.n_used == 0;
        match (was_full, is_empty) {
            // SAFETY: a full pool is on no list.
            (true, false) => unsafe { self.link(class, head) },
            // SAFETY: by the contract.
            (false, true) => unsafe { self.unlink(class, head) },
            (true, true) | (false, false) => {}
        }
        if is_empty {
            self.source.give(head.cast());
        }
    }

    /// # Safety
    /// The pool is ours and on no list.
    unsafe fn link(&mut self, class: usize, head: *mut Pool) {
        let next = self.heads[class];
        // SAFETY: by the contract; nobody else refers to it.
        let pool = unsafe { &mut *head };
        pool.next = next;
        pool.previous = null_mut();
        if !next.is_null() {
            // SAFETY: what is on a list is ours.
            unsafe { (*next).previous = head };
        }
        self.heads[class] = head;
    }

    /// # Safety
    /// The pool is on the list of `class`.
    unsafe fn unlink(&mut self, class: usize, head: *mut Pool) {
        // SAFETY: what is on a list is ours.
        let Pool { next, previous, .. } = unsafe { head.read() };
        if previous.is_null() {
            self.heads[class] = next;
        } else {
            // SAFETY: on the same list.
            unsafe { (*previous).next = next };
        }
        if !next.is_null() {
            // SAFETY: on the same list.
            unsafe { (*next).previous = previous };
        }
    }
}

fn pool_of(block: *mut u8) -> *mut Pool {
    block.map_addr(|address| address & !(POOL_BYTES - 1)).cast()
}

/// Bytes of a block.
///
/// # Safety
/// It came from [`Pools::allocate`] and is still used.
pub(super) unsafe fn block_bytes(block: *mut u8) -> usize {
    // SAFETY: the pool is ours as long as the block is used.
    unsafe { (*pool_of(block)).block_bytes as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{alloc, dealloc};
    use std::collections::HashSet;

    /// Pools from the standard library, and none when `left` is 0.
    struct Counted {
        held: HashSet<usize>,
        left: usize,
    }

    impl Counted {
        const LAYOUT: std::alloc::Layout = match std::alloc::Layout::from_size_align(POOL_BYTES, POOL_BYTES) {
            Ok(layout) => layout,
            Err(_) => panic!("a power of two"),
        };
    }

    impl Source for Counted {
        fn take(&mut self) -> *mut u8 {
            if self.left == 0 {
                return null_mut();
            }
            self.left -= 1;
            // SAFETY: the size is not 0.
            let pool = unsafe { alloc(Self::LAYOUT) };
            // Whatever was there before is no concern of a pool's.
            // SAFETY: just allocated.
            unsafe { pool.write_bytes(0xa5, POOL_BYTES) };
            assert!(self.held.insert(pool.addr()));
            pool
        }

        fn give(&mut self, pool: *mut u8) {
            assert!(self.held.remove(&pool.addr()), "given back twice");
            self.left += 1;
            // SAFETY: allocated by `take`, with this layout.
            unsafe { dealloc(pool, Self::LAYOUT) };
        }
    }

    fn pools(left: usize) -> Pools<Counted> {
        Pools::new(Counted { held: HashSet::new(), left })
    }

    /// A block and what was written into it.
    struct Written(*mut u8, usize, u8);

    impl Written {
        fn new(pools: &mut Pools<Counted>, n_bytes: usize, mark: u8) -> Option<Self> {
            let block = pools.allocate(n_bytes);
            if block.is_null() {
                return None;
            }
            assert!(block.addr().is_multiple_of(STEP_BYTES));
            // SAFETY: the block is used.
            assert_eq!(unsafe { block_bytes(block) }, n_bytes.next_multiple_of(STEP_BYTES));
            // SAFETY: as large as was asked.
            unsafe { block.write_bytes(mark, n_bytes) };
            Some(Self(block, n_bytes, mark))
        }

        fn check_and_free(self, pools: &mut Pools<Counted>) {
            let Self(block, n_bytes, mark) = self;
            // SAFETY: written, as large as was asked, and still used.
            let bytes = unsafe { std::slice::from_raw_parts(block, n_bytes) };
            assert!(bytes.iter().all(|&byte| byte == mark), "{n_bytes} bytes");
            // SAFETY: used, and not any more.
            unsafe { pools.free(block) };
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_every_empty_pool_goes_back() {
        let mut pools = pools(usize::MAX);
        let mut held: Vec<Written> = Vec::new();
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for turn in 0..200_000 {
            // Grows to some thousand blocks, shrinks to a few, and again.
            let grows = (turn / 20_000) % 2 == 0;
            if held.is_empty() || next(10) < if grows { 7 } else { 3 } {
                let n_bytes = 1 + next(BLOCK_BYTES_MAX);
                held.push(Written::new(&mut pools, n_bytes, turn as u8).expect("memory"));
            } else {
                let at = next(held.len());
                held.swap_remove(at).check_and_free(&mut pools);
            }
        }
        assert!(!pools.source.held.is_empty());
        held.drain(..).for_each(|block| block.check_and_free(&mut pools));
        assert!(pools.source.held.is_empty());
        assert!(pools.heads.iter().all(|head| head.is_null()));
    }

    #[test]
    fn every_size_fills_its_pool_to_the_end_and_stays_in_it() {
        for n_bytes in 1..=BLOCK_BYTES_MAX {
            let mut pools = pools(1);
            let size = n_bytes.next_multiple_of(STEP_BYTES);
            let blocks: Vec<_> = std::iter::from_fn(|| Written::new(&mut pools, n_bytes, 7)).collect();
            assert_eq!(blocks.len(), (POOL_BYTES - FIRST_BLOCK) / size);
            let pool = pools.source.held.iter().next().expect("one pool");
            assert!(
                blocks
                    .iter()
                    .all(|block| (pool + FIRST_BLOCK..=pool + POOL_BYTES - size).contains(&block.0.addr()))
            );
            blocks.into_iter().for_each(|block| block.check_and_free(&mut pools));
        }
    }

    #[test]
    fn a_block_of_a_full_pool_that_comes_back_is_used_again() {
        let mut pools = pools(1);
        let mut blocks: Vec<_> = std::iter::from_fn(|| Written::new(&mut pools, 512, 3)).collect();
        let back = blocks.swap_remove(4);
        let address = back.0;
        back.check_and_free(&mut pools);
        assert_eq!(Written::new(&mut pools, 500, 1).map(|block| block.0), Some(address));
        assert!(Written::new(&mut pools, 512, 1).is_none());
    }
}
