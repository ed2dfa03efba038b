//! The governor: a thread that looks at its process, asks the policy, and does what it says.
//!
//! ```text
//! sleep ─▶ sample: clocks, faults, the command word; heap and limit only when the policy asked for them
//!   ▲         └─▶ control::decide ─▶ decay, purge ─▶ block
//!   └───────────────── until the next look ◀────────────┘
//! ```
//!
//! Invariants: what it has learned is on its own stack, so that a forked child begins anew. It takes no
//! lock but jemalloc's own, as jemalloc's statistics and decay take them; the system calls of a purge run
//! outside the lock that an allocation could want. It has a table of descriptors of its own.
//!
//! Must never know: what the numbers mean.

use crate::limit::Groups;
use crate::mallctl::{Node, names};
use crate::statistics::{Pages, Statistics};
use crate::{block, decay, sys};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use slackwater_control::{DecayChange, Decision, GovernorState, Heap, Policy, Reason, Sample, State, decide};

/// A governor was started in this process, or in the one that it was forked from.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts it.
pub(crate) fn start() {
    decay::keep_original();
    launch();
}

/// Starts it in the child of a process that had one.
pub(crate) fn start_again() {
    if STARTED.load(Relaxed) {
        // The parent may have been under pressure.
        decay::restore();
        launch();
    }
}

fn launch() {
    let is_started = sys::spawn(govern);
    STARTED.store(is_started, Relaxed);
    if is_started {
        decay::govern();
    } else {
        decay::leave();
    }
}

extern "C" fn govern(_: *mut c_void) -> *mut c_void {
    sys::name_thread(c"slackwater");
    // Before standard error is left with the other descriptors.
    let policy = crate::policy::from_environment();
    sys::leave_descriptors();
    if let Some(governor) = Governor::new(policy) {
        governor.run();
    }
    null_mut()
}

struct Governor {
    policy: Policy,
    statistics: Statistics,
    purge: Node<names::Action>,
    groups: Groups,
}

/// What one look saw and did, for the block.
struct Outcome {
    command: Option<u32>,
    pages: Option<Pages>,
    purged: Option<Purged>,
    limit_bytes: Option<u64>,
    decision: Decision,
}

/// What a purge gave back, and what it took.
#[derive(Clone, Copy)]
struct Purged {
    reason: Reason,
    bytes: u64,
    cpu_ns: u64,
}

impl Governor {
    fn new(policy: Policy) -> Option<Self> {
        Some(Self {
            policy,
            statistics: Statistics::resolve()?,
            purge: names::PURGE_ALL.resolve()?,
            groups: Groups::find(),
        })
    }

    /// Until all other threads have ended: then the process has to end too, as it would without us.
    fn run(&self) {
        let mut state = State::new(&self.policy);
        let (mut heap, mut limit) = (true, true);
        loop {
            let command = block::pending_command();
            let pages = heap.then(|| self.statistics.refresh());
            let sample = self.sample(command.is_some(), pages, limit);
            let decision = decide(&self.policy, &mut state, &sample);
            let (pages, purged) = self.apply(&decision, pages);
            let look = decision.look;
            self.publish(&Outcome {
                command,
                pages,
                purged,
                limit_bytes: limit.then(|| sample.limit.map_or(0, |limit| limit.limit_bytes)),
                decision,
            });
            (heap, limit) = (look.heap, look.limit);
            if decision.state == GovernorState::Idle && sys::is_last_thread() {
                return;
            }
            sys::sleep_ns(look.after_ms * 1_000_000);
        }
    }

    fn sample(&self, asked: bool, pages: Option<Pages>, limit: bool) -> Sample {
        // The governor's own time first: the difference can then not be negative.
        let own_ns = sys::thread_cpu_ns();
        Sample {
            now_ns: sys::monotonic_ns(),
            cpu_ns: sys::process_cpu_ns().saturating_sub(own_ns),
            minor_faults: sys::minor_faults(),
            heap: pages
                .map(|pages| Heap { active_bytes: pages.active_bytes, dirty_bytes: pages.dirty_bytes }),
            limit: if limit { self.groups.nearest(&self.policy) } else { None },
            stalled_ns: if limit { self.groups.stalled_ns() } else { None },
            asked,
        }
    }

    /// Does what was decided: the pages afterwards, where they were counted, and what a purge gave back.
    fn apply(&self, decision: &Decision, pages: Option<Pages>) -> (Option<Pages>, Option<Purged>) {
        match decision.decay {
            Some(DecayChange::To(milliseconds)) => decay::set(milliseconds as i64),
            Some(DecayChange::Restore) => decay::restore(),
            None => {}
        }
        let Some(reason) = decision.purge else { return (pages, None) };
        let before = pages.unwrap_or_else(|| self.statistics.refresh());
        let begin_ns = sys::thread_cpu_ns();
        decay::purge(&self.purge);
        let cpu_ns = sys::thread_cpu_ns().saturating_sub(begin_ns);
        let after = self.statistics.refresh();
        let bytes = before.unused_bytes().saturating_sub(after.unused_bytes());
        (Some(after), Some(Purged { reason, bytes, cpu_ns }))
    }

    fn publish(&self, outcome: &Outcome) {
        let (now_ns, own_ns) = (sys::monotonic_ns(), sys::thread_cpu_ns());
        block::publish(|block| {
            block.governor.store(outcome.decision.state as u32, Relaxed);
            block.n_ticks.store(block.n_ticks.load(Relaxed) + 1, Relaxed);
            block.governor_cpu_ns.store(own_ns, Relaxed);
            if let Some(limit_bytes) = outcome.limit_bytes {
                block.limit_bytes.store(limit_bytes, Relaxed);
            }
            if let Some(pages) = outcome.pages {
                self.statistics.store(block, now_ns, pages);
            }
            if let Some(permille) = outcome.decision.refaults_permille {
                block::record_refaults(block, permille);
            }
            if let Some(change) = outcome.decision.decay {
                let milliseconds = match change {
                    DecayChange::To(milliseconds) => milliseconds as i64,
                    DecayChange::Restore => decay::original_ms(),
                };
                block.dirty_decay_ms.store(milliseconds, Relaxed);
                block::record(block, Reason::Decay, milliseconds as u64);
            }
            if let Some(purged) = outcome.purged {
                block::record(block, purged.reason, purged.bytes);
                block.purge_cpu_ns.store(block.purge_cpu_ns.load(Relaxed) + purged.cpu_ns, Relaxed);
            }
            if let Some(command) = outcome.command {
                block.served_bytes.store(outcome.purged.map_or(0, |purged| purged.bytes), Relaxed);
                block.served.store(command, Relaxed);
            }
        });
    }
}
