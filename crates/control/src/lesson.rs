//! What purges cost, learned from the faults that follow them.
//!
//! A purge on the idle edge whose pages come back soon doubles the silence that the next one waits for;
//! one whose pages stay away shortens it again. A purge while working is paid from the processor time
//! that follows: the next one has to wait until it was worth its share. What did not come back is
//! refunded; a purge that was useless, because the process goes round and round in the same pages, makes
//! the next ones twice as dear.

use slackwater_layout::slackwater::Reason;

use crate::policy::{ns, share};
use crate::{Policy, Sample};

/// Bytes per page of the kernel's accounting.
const PAGE_BYTES: u64 = 4096;

/// A purge whose cost is not known yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Purge {
    reason: Reason,
    at_ns: u64,
    minor_faults: u64,
    n_pages: u64,
}

/// What was learned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lesson {
    wait_ms: u64,
    cap_price_permille: u64,
    open: Option<Purge>,
    /// The process's processor time at which the last purge while working is paid.
    paid_at_cpu_ns: u64,
    last_cap_ns: Option<u64>,
}

impl Lesson {
    /// Nothing was learned.
    pub(crate) const fn new(policy: &Policy) -> Self {
        Self {
            wait_ms: policy.idle_wait_ms,
            cap_price_permille: 1000,
            open: None,
            paid_at_cpu_ns: 0,
            last_cap_ns: None,
        }
    }

    /// The silence after which the process counts as idle.
    pub(crate) const fn wait_ms(&self) -> u64 {
        self.wait_ms
    }

    /// Whether another purge while working may be afforded.
    pub(crate) fn may_cap(&self, policy: &Policy, sample: &Sample) -> bool {
        let rested =
            self.last_cap_ns.is_none_or(|at| sample.now_ns.saturating_sub(at) >= ns(policy.cap_every_ms));
        rested && sample.cpu_ns >= self.paid_at_cpu_ns
    }

    /// Opens the account of a purge of `bytes`.
    pub(crate) fn purged(&mut self, policy: &Policy, sample: &Sample, reason: Reason, bytes: u64) {
        let n_pages = bytes / PAGE_BYTES;
        self.open = (n_pages > 0).then_some(Purge {
            reason,
            at_ns: sample.now_ns,
            minor_faults: sample.minor_faults,
            n_pages,
        });
        if reason == Reason::DirtyCap {
            self.last_cap_ns = Some(sample.now_ns);
            self.paid_at_cpu_ns = sample.cpu_ns.saturating_add(self.work_that_pays(policy, n_pages));
        }
    }

    /// Closes the account of the last purge when enough is known; its faults per thousand pages.
    pub(crate) fn judge(&mut self, policy: &Policy, sample: &Sample) -> Option<u32> {
        let purge = self.open?;
        let faults = sample.minor_faults.saturating_sub(purge.minor_faults);
        let permille = faults.saturating_mul(1000) / purge.n_pages;
        let useless = permille >= policy.refault_permille;
        let late = sample.now_ns.saturating_sub(purge.at_ns) >= ns(policy.soon_ms);
        if !useless && !late {
            return None;
        }
        self.open = None;
        match purge.reason {
            Reason::IdleEdge if useless => {
                self.wait_ms = self.wait_ms.saturating_mul(2).min(policy.idle_wait_max_ms);
            }
            Reason::IdleEdge => {
                self.wait_ms = (self.wait_ms - self.wait_ms / 4).max(policy.idle_wait_min_ms);
            }
            Reason::DirtyCap => {
                let stayed_away = purge.n_pages.saturating_sub(faults);
                self.paid_at_cpu_ns =
                    self.paid_at_cpu_ns.saturating_sub(self.work_that_pays(policy, stayed_away));
                let price = self.cap_price_permille;
                let price = if useless { price.saturating_mul(2) } else { price / 2 };
                self.cap_price_permille = price.min(policy.cap_backoff_max_permille).max(1000);
            }
            _ => {}
        }
        Some(u32::try_from(permille).unwrap_or(u32::MAX))
    }

    /// How many times longer than at first it pays to wait.
    pub(crate) fn patience_permille(&self, policy: &Policy) -> u64 {
        self.wait_ms.saturating_mul(1000) / policy.idle_wait_ms.max(1)
    }

    /// The processor time of which the faults of `n_pages` are the share that they may cost.
    const fn work_that_pays(&self, policy: &Policy, n_pages: u64) -> u64 {
        let cost_ns = share(n_pages.saturating_mul(policy.page_cost_ns), self.cap_price_permille);
        match policy.cap_cost_permille {
            0 => u64::MAX,
            permille => share(cost_ns, 1_000_000 / permille),
        }
    }
}
