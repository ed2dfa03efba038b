//! The governor: a thread that looks, asks the policy, and does what it says.
//!
//! Invariant: its state is on its own stack, so that a forked child begins anew; it takes no lock but
//! jemalloc's, and those as jemalloc's statistics and purges do.

use crate::mallctl::{Node, names};
use crate::statistics::Statistics;
use crate::{block, sys};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use slackwater_layout::slackwater::{GovernorState, Reason};

/// A governor was started in this process, or in the one that it was forked from.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts it.
pub(crate) fn start() {
    STARTED.store(sys::spawn(govern), Relaxed);
}

/// Starts it in the child of a process that had one.
pub(crate) fn start_again() {
    if STARTED.load(Relaxed) {
        start();
    }
}

extern "C" fn govern(_: *mut c_void) -> *mut c_void {
    sys::name_thread(c"slackwater");
    let (Some(statistics), Some(purge)) = (Statistics::resolve(), names::PURGE_ALL.resolve()) else {
        return null_mut();
    };
    run(&statistics, &purge);
    null_mut()
}

fn run(statistics: &Statistics, purge: &Node<names::Action>) {
    let mut cpu = sys::process_cpu_ns();
    let mut at = sys::monotonic_ns();
    let mut idle_ns = 0;
    let mut purged = false;
    let mut pause_ms = 50;
    loop {
        sys::sleep_ms(pause_ms);
        let (now, used) = (sys::monotonic_ns(), sys::process_cpu_ns());
        let busy = (used - cpu) * 20 > now - at;
        idle_ns = if busy { 0 } else { idle_ns + (now - at) };
        purged &= !busy;
        let command = block::command();
        let asked = command != block::served();
        let mut gave = None;
        let mut pages = None;
        if asked || (idle_ns > 200_000_000 && !purged) {
            let before = statistics.refresh();
            purge.run();
            let after = statistics.refresh();
            purged = true;
            gave = Some(before.dirty_bytes.saturating_sub(after.dirty_bytes));
            pages = Some(after);
        }
        let cpu_own = sys::thread_cpu_ns();
        block::publish(|block| {
            let state = if busy { GovernorState::Busy } else { GovernorState::Idle };
            block.governor.store(state as u32, Relaxed);
            block.n_ticks.fetch_add(1, Relaxed);
            block.governor_cpu_ns.store(cpu_own, Relaxed);
            if let Some(pages) = pages {
                statistics.store(block, now, pages);
            }
            if let Some(bytes) = gave {
                block::record(block, if asked { Reason::Asked } else { Reason::IdleEdge }, bytes);
                if asked {
                    block.served_bytes.store(bytes, Relaxed);
                    block.served.store(command, Relaxed);
                }
            }
        });
        (cpu, at) = (sys::process_cpu_ns(), sys::monotonic_ns());
        pause_ms = if purged { 250 } else { 50 };
    }
}
