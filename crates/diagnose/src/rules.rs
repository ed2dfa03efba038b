//! The rules: one file for each finding, each a pure function of the facts.
//!
//! Invariant: a rule compares numbers of the facts with [`crate::thresholds`] and nothing else.

mod background_threads;
mod foreign_allocator;
mod growth;
mod huge_pages;
mod idle_supervisor;
mod incremental_gc;
mod many_arenas;
mod page_cache;
mod pinned_glibc;
mod pinned_pymalloc;
mod raised_threshold;
mod retention;
mod steady;
mod swap;
#[cfg(test)]
pub(crate) mod testing;
mod undetermined;
mod unsharing;

use slackwater_base::{Class, PinReason};
use slackwater_heap::{Allocator, Heap};

use crate::advice::Target;
use crate::{
    Confidence, Evidence, Finding, Growth, MallocKind, ProcessReport, Quantity, Scope, ServiceReport,
    Subject, thresholds,
};

/// All that a rule may look at.
pub(crate) struct Facts<'a> {
    pub(crate) service: &'a ServiceReport,
    pub(crate) processes: &'a [ProcessReport],
    pub(crate) growth: Option<&'a Growth>,
    pub(crate) target: &'a Target,
}

/// What holds, in no order. There is at least one that decides.
pub(crate) fn all(facts: &Facts<'_>) -> Vec<Finding> {
    let rules: [fn(&Facts<'_>) -> Option<Finding>; 19] = [
        retention::find,
        pinned_glibc::find,
        pinned_pymalloc::find,
        raised_threshold::find,
        many_arenas::find,
        growth::python,
        growth::native,
        growth::heap,
        growth::mapped,
        growth::stack,
        incremental_gc::find,
        unsharing::find,
        page_cache::find,
        huge_pages::find,
        swap::find,
        foreign_allocator::find,
        background_threads::find,
        idle_supervisor::find,
        undetermined::find,
    ];
    let mut findings: Vec<Finding> = rules.iter().filter_map(|rule| rule(facts)).collect();
    if !findings.iter().any(|finding| finding.code.decides()) {
        findings.push(steady::finding(facts));
    }
    findings
}

impl Facts<'_> {
    /// Bytes of a class in the service, shared pages once.
    fn class(&self, class: Class) -> u64 {
        self.service.ledger[class].service
    }

    fn pinned(&self, reasons: &[PinReason]) -> u64 {
        reasons.iter().map(|&reason| self.service.pinned_by[reason].service).sum()
    }

    /// `bytes` as a part of the service's RSS.
    fn share(&self, bytes: u64) -> f64 {
        bytes as f64 / self.service.rss_bytes.max(1) as f64
    }

    /// Whether slack is worth a person's time at all, and `bytes` are a good part of it.
    fn is_much_slack(&self, bytes: u64) -> bool {
        let slack = self.service.ledger.slack().service;
        let share = self.share(slack);
        let ordinary = slack >= thresholds::SLACK_MIN_BYTES && share >= thresholds::SLACK_MIN_SHARE;
        let large = slack >= thresholds::SLACK_LARGE_BYTES && share >= thresholds::SLACK_LARGE_SHARE;
        (ordinary || large)
            && bytes >= thresholds::CAUSE_MIN_BYTES
            && bytes as f64 >= slack as f64 * thresholds::SLACK_PART_SHARE
    }

    /// Whether `bytes` are enough to name a circumstance.
    fn is_cause(&self, bytes: u64) -> bool {
        bytes >= thresholds::CAUSE_MIN_BYTES && self.share(bytes) >= thresholds::CAUSE_MIN_SHARE
    }

    /// Whether our allocator serves in every process.
    fn are_all_ours(&self) -> bool {
        self.processes.iter().all(|process| process.malloc.kind == MallocKind::Slackwater)
    }

    /// The slope of a subject that grows.
    fn growing(&self, subject: Subject) -> Option<f64> {
        Some(self.growth?.grows(subject)?.bytes_per_second)
    }

    /// How far a split of the heap is to be trusted.
    fn confidence(&self) -> Confidence {
        let unexplained = self.share(self.class(Class::Unexplained));
        if self.processes.iter().any(|process| process.scope != Scope::Heaps) {
            return Confidence { value: 0.5, why: "the heaps of some processes could not be read" };
        }
        if unexplained > thresholds::UNEXPLAINED_GOOD_SHARE {
            let value = (0.9 - unexplained).max(0.3);
            return Confidence { value, why: "part of the memory is unexplained" };
        }
        match self.growth {
            Some(_) => Confidence { value: 0.98, why: "the books of every heap balance, watched over time" },
            None => Confidence { value: 0.95, why: "the books of every heap balance, from one look" },
        }
    }
}

/// The glibc heaps of a process.
fn glibc_heaps(process: &ProcessReport) -> impl Iterator<Item = &Heap> {
    let heaps = process.heaps.iter().map(|report| &report.heap);
    heaps.filter(|heap| matches!(heap.allocator, Allocator::Glibc { .. }))
}

/// The heaps of a process that serve `malloc`.
fn malloc_heaps(process: &ProcessReport) -> impl Iterator<Item = &Heap> {
    let heaps = process.heaps.iter().map(|report| &report.heap);
    heaps.filter(|heap| !matches!(heap.allocator, Allocator::Pymalloc))
}

fn bytes(name: &'static str, bytes: u64) -> Evidence {
    Evidence::new(name, Quantity::Bytes(bytes))
}

fn count(name: &'static str, count: usize) -> Evidence {
    Evidence::new(name, Quantity::Count(count as u64))
}

fn share(name: &'static str, share: f64) -> Evidence {
    Evidence::new(name, Quantity::Share(share))
}
