//! jemalloc's numbers: read by name, and carried into the block.
//!
//! Invariant: `epoch` is what costs: it walks the arenas under their locks, one at a time. Nothing here
//! calls it but [`Statistics::refresh`].

use crate::mallctl::{Node, names};
use crate::{block, objects};
use core::sync::atomic::Ordering::Relaxed;
use slackwater_layout::slackwater::Block;

const PAGE_BYTES: u64 = 4096;

/// The numbers' places, looked up once.
#[derive(Debug)]
pub(crate) struct Statistics {
    epoch: Node<u64>,
    allocated: Node<usize>,
    active: Node<usize>,
    resident: Node<usize>,
    metadata: Node<usize>,
    retained: Node<usize>,
    dirty_pages: Node<usize>,
    muzzy_pages: Node<usize>,
    cached: Node<usize>,
}

/// What a purge is judged by.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pages {
    pub(crate) active_bytes: u64,
    pub(crate) dirty_bytes: u64,
    pub(crate) muzzy_bytes: u64,
}

impl Pages {
    /// What is resident, or counts as such, without being used.
    pub(crate) const fn unused_bytes(&self) -> u64 {
        self.dirty_bytes + self.muzzy_bytes
    }
}

impl Statistics {
    /// `None` if this jemalloc was built without statistics.
    pub(crate) fn resolve() -> Option<Self> {
        Some(Self {
            epoch: names::EPOCH.resolve()?,
            allocated: names::ALLOCATED.resolve()?,
            active: names::ACTIVE.resolve()?,
            resident: names::RESIDENT.resolve()?,
            metadata: names::METADATA.resolve()?,
            retained: names::RETAINED.resolve()?,
            dirty_pages: names::DIRTY_PAGES.resolve()?,
            muzzy_pages: names::MUZZY_PAGES.resolve()?,
            cached: names::CACHED.resolve()?,
        })
    }

    /// Has jemalloc count anew.
    pub(crate) fn refresh(&self) -> Pages {
        self.epoch.write(1);
        let (pools_used, pools_unused) = objects::bytes();
        Pages {
            active_bytes: bytes(&self.active) + pools_used,
            dirty_bytes: bytes(&self.dirty_pages) * PAGE_BYTES + pools_unused,
            muzzy_bytes: bytes(&self.muzzy_pages) * PAGE_BYTES,
        }
    }

    /// Writes what the last [`Statistics::refresh`] counted.
    pub(crate) fn store(&self, block: &Block, taken_ns: u64, pages: Pages) {
        let (pools_used, pools_unused) = objects::bytes();
        block.taken_ns.store(taken_ns, Relaxed);
        block.allocated_bytes.store(bytes(&self.allocated) + pools_used, Relaxed);
        block.active_bytes.store(pages.active_bytes, Relaxed);
        block.resident_bytes.store(bytes(&self.resident) + pools_used + pools_unused, Relaxed);
        block.dirty_bytes.store(pages.dirty_bytes, Relaxed);
        block.muzzy_bytes.store(pages.muzzy_bytes, Relaxed);
        block.metadata_bytes.store(bytes(&self.metadata), Relaxed);
        block.retained_bytes.store(bytes(&self.retained), Relaxed);
        block.cached_bytes.store(bytes(&self.cached), Relaxed);
    }
}

fn bytes(node: &Node<usize>) -> u64 {
    node.read().unwrap_or(0) as u64
}

/// Puts the settings in force into the block.
pub(crate) fn publish_settings(n_refused_options: u32) {
    let thread_cache_max = match names::THREAD_CACHE.read() {
        Some(0) => 0,
        _ => names::THREAD_CACHE_MAX.read().unwrap_or(0),
    };
    block::publish(|block| {
        block.n_arenas.store(names::N_ARENAS.read().unwrap_or(0), Relaxed);
        block.background_threads.store(u32::from(names::BACKGROUND_THREAD.read().unwrap_or(0)), Relaxed);
        block.dirty_decay_ms.store(names::DIRTY_DECAY_MS.read().unwrap_or(0) as i64, Relaxed);
        block.muzzy_decay_ms.store(names::MUZZY_DECAY_MS.read().unwrap_or(0) as i64, Relaxed);
        block.thread_cache_max_bytes.store(thread_cache_max as u64, Relaxed);
        block.n_refused_options.store(n_refused_options, Relaxed);
        block.page_map.store(symbols::page_map() as u64, Relaxed);
        block.arenas.store(symbols::arenas() as u64, Relaxed);
    });
}

/// The two tables from which jemalloc's heap can be walked from outside.
mod symbols {
    #![allow(unsafe_code)] // addresses of jemalloc's private variables

    unsafe extern "C" {
        #[link_name = "_rjem_je_arena_emap_global"]
        static PAGE_MAP: u8;
        #[link_name = "_rjem_je_arenas"]
        static ARENAS: u8;
    }

    pub(super) fn page_map() -> usize {
        // Only the address is taken.
        (&raw const PAGE_MAP) as usize
    }

    pub(super) fn arenas() -> usize {
        // Only the address is taken.
        (&raw const ARENAS) as usize
    }
}
