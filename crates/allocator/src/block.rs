//! The block that is read from outside (`layout::slackwater`): the only place that writes it.
//!
//! Invariant: one writer at a time. `sequence` is the lock as well as the reader's check: whoever turns
//! it from even to odd may write, and turns it even again. A writer that cannot get it soon gives up:
//! a number less in a statistic is better than a program that waits. The child of a fork makes it even,
//! because the thread that held it stayed in the parent.
#![allow(unsafe_code)] // the exported symbol

use crate::sys;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, fence};
use slackwater_layout::slackwater::{
    Block, DECISIONS, Decision, GovernorState, MAGIC, OPTIONS_BYTES, Reason, VERSION,
};

/// Turns tried for the sequence before a writer gives up: some microseconds.
const TURNS_MAX: u32 = 1000;

/// The block. Its name in the dynamic symbol table is part of its format.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[allow(non_upper_case_globals)] // the symbol's name
pub(crate) static slackwater_block: Block = Block {
    magic: MAGIC,
    version: VERSION,
    size: size_of::<Block>() as u32,
    library: library_version(),
    pid: AtomicU32::new(0),
    sequence: AtomicU32::new(0),
    taken_ns: AtomicU64::new(0),
    allocated_bytes: AtomicU64::new(0),
    active_bytes: AtomicU64::new(0),
    resident_bytes: AtomicU64::new(0),
    dirty_bytes: AtomicU64::new(0),
    muzzy_bytes: AtomicU64::new(0),
    metadata_bytes: AtomicU64::new(0),
    retained_bytes: AtomicU64::new(0),
    cached_bytes: AtomicU64::new(0),
    n_arenas: AtomicU32::new(0),
    background_threads: AtomicU32::new(0),
    dirty_decay_ms: AtomicI64::new(0),
    muzzy_decay_ms: AtomicI64::new(0),
    thread_cache_max_bytes: AtomicU64::new(0),
    options: [const { AtomicU64::new(0) }; OPTIONS_BYTES / 8],
    user_options_start: AtomicU32::new(0),
    n_refused_options: AtomicU32::new(0),
    governor: AtomicU32::new(GovernorState::Dormant as u32),
    n_decisions: AtomicU32::new(0),
    n_ticks: AtomicU64::new(0),
    governor_cpu_ns: AtomicU64::new(0),
    purged_bytes: AtomicU64::new(0),
    limit_bytes: AtomicU64::new(0),
    decisions: [const {
        Decision {
            at_ns: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reason: AtomicU32::new(0),
            refaults_permille: AtomicU32::new(0),
        }
    }; DECISIONS],
    page_map: AtomicU64::new(0),
    arenas: AtomicU64::new(0),
    command: AtomicU32::new(0),
    served: AtomicU32::new(0),
    served_bytes: AtomicU64::new(0),
    purge_cpu_ns: AtomicU64::new(0),
    pools_start: AtomicU64::new(0),
    pools_end: AtomicU64::new(0),
};

const fn library_version() -> [u8; 16] {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let mut padded = [0; 16];
    let mut at = 0;
    while at < version.len() && at < padded.len() - 1 {
        padded[at] = version[at];
        at += 1;
    }
    padded
}

/// Writes to the block under its sequence. Returns whether it was written.
pub(crate) fn publish(write: impl FnOnce(&Block)) -> bool {
    let block = &slackwater_block;
    for _ in 0..TURNS_MAX {
        let sequence = block.sequence.load(Relaxed);
        if sequence.is_multiple_of(2)
            && block.sequence.compare_exchange(sequence, sequence.wrapping_add(1), Acquire, Relaxed).is_ok()
        {
            // Orders the odd sequence before the fields, for a reader that sees any of them.
            fence(Release);
            write(block);
            block.pid.store(sys::pid(), Relaxed);
            block.sequence.store(sequence.wrapping_add(2), Release);
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// In the child of a fork: what spoke of the parent's life begins again; what was configured stays.
pub(crate) fn after_fork() {
    let block = &slackwater_block;
    block.sequence.store(block.sequence.load(Relaxed).wrapping_add(1) & !1, Relaxed);
    publish(|block| {
        block.governor.store(GovernorState::Dormant as u32, Relaxed);
        block.n_decisions.store(0, Relaxed);
        block.n_ticks.store(0, Relaxed);
        block.governor_cpu_ns.store(0, Relaxed);
        block.purge_cpu_ns.store(0, Relaxed);
        block.purged_bytes.store(0, Relaxed);
        block.background_threads.store(0, Relaxed);
        block.served.store(block.command.load(Relaxed), Relaxed);
        block.served_bytes.store(0, Relaxed);
    });
}

/// Adds a decision to the ring; for those that gave memory back, to their sum too.
pub(crate) fn record(block: &Block, reason: Reason, bytes: u64) {
    let n = block.n_decisions.load(Relaxed);
    let decision = &block.decisions[n as usize % DECISIONS];
    decision.at_ns.store(sys::monotonic_ns(), Relaxed);
    decision.bytes.store(bytes, Relaxed);
    decision.reason.store(reason as u32, Relaxed);
    decision.refaults_permille.store(0, Relaxed);
    block.n_decisions.store(n.wrapping_add(1), Relaxed);
    if reason != Reason::Decay {
        block.purged_bytes.fetch_add(bytes, Relaxed);
    }
}

/// Notes what the last purge has cost.
pub(crate) fn record_refaults(block: &Block, permille: u32) {
    let n = block.n_decisions.load(Relaxed) as usize;
    let newest_first = (0..n.min(DECISIONS)).map(|back| &block.decisions[(n - 1 - back) % DECISIONS]);
    let is_purge = |decision: &&Decision| decision.reason.load(Relaxed) != Reason::Decay as u32;
    if let Some(purge) = newest_first.into_iter().find(is_purge) {
        purge.refaults_permille.store(permille, Relaxed);
    }
}

/// The number of the command from outside that was not carried out yet.
pub(crate) fn pending_command() -> Option<u32> {
    let command = slackwater_block.command.load(Acquire);
    (command != slackwater_block.served.load(Relaxed)).then_some(command)
}

/// Keeps what jemalloc was told, and where the user's part of it begins.
pub(crate) fn keep_options(options: &[u8], user_start: usize) {
    publish(|block| {
        for (word, bytes) in block.options.iter().zip(options.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Relaxed);
        }
        block.user_options_start.store(user_start as u32, Relaxed);
    });
}
