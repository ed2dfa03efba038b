//! SW121: workers have copied, page by page, what they shared with their master after the fork.
//! Reference counts and the collector's lists are written to whenever an object is looked at.
//!
//! A master that holds a large live heap has loaded the application before it forked. Each of its
//! workers should share that; what it no longer shares, it holds twice.

use slackwater_base::Class;

use super::{Facts, bytes, count, share};
use crate::{Code, Confidence, Finding, Kind, ProcessReport, Role, Sharing, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    // Without frame numbers there is no telling which pages are shared with whom.
    if facts.service.sharing != Sharing::Frames {
        return None;
    }
    let master = facts.processes.iter().find(|process| process.role == Role::Master)?;
    let loaded = heap_bytes(master);
    if loaded < thresholds::UNSHARED_MASTER_BYTES {
        return None;
    }
    let forked: Vec<u64> = facts
        .processes
        .iter()
        .filter(|process| process.role == Role::Worker)
        .map(shared_bytes)
        // A worker that shares nothing was not forked: it has loaded its own.
        .filter(|shared| *shared >= thresholds::UNSHARED_FORKED_BYTES)
        .collect();
    let copied: u64 = forked.iter().map(|shared| loaded.saturating_sub(*shared)).sum();
    let copied_share = copied as f64 / (loaded * forked.len().max(1) as u64) as f64;
    if copied_share < thresholds::UNSHARED_MIN_SHARE || !facts.is_cause(copied) {
        return None;
    }
    Some(Finding {
        code: Code::Unsharing,
        kind: Kind::Undetermined,
        pid: None,
        bytes: copied,
        bytes_per_second: None,
        confidence: Confidence {
            value: 0.6,
            why: "what the master loaded after the fork cannot be told from what it loaded before",
        },
        evidence: vec![
            bytes("master_heap_bytes", loaded),
            count("forked_workers", forked.len()),
            bytes("copied_bytes", copied),
            share("copied_share", copied_share),
        ],
        advice: vec![advice::note(
            "call gc.freeze() in the master after loading and before forking (gunicorn: in when_ready or \
             pre_fork), and gc.disable() while loading",
        )],
    })
}

/// Live memory and what keeps its books.
fn heap_bytes(process: &ProcessReport) -> u64 {
    process.ledger.live().process + process.ledger[Class::AllocatorOverhead].process
}

/// The part of it that another process of the service, looked at before, maps as well.
fn shared_bytes(process: &ProcessReport) -> u64 {
    let live = process.ledger.live();
    let overhead = process.ledger[Class::AllocatorOverhead];
    (live.process + overhead.process).saturating_sub(live.service + overhead.service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_when_forked_workers_no_longer_share() {
        let check = |master: u64, shared: u64, fires: bool| {
            let scene = scene().role(Role::Master).class(Class::LiveUnsplit, master).worker(|worker| {
                worker.shared(Class::LiveUnsplit, shared).class(Class::LiveUnsplit, master - shared)
            });
            assert_eq!(scene.found(find).is_some(), fires, "{master} {shared}");
        };
        check(100 * MIB, 50 * MIB, true);
        check(100 * MIB, 51 * MIB, false);
        // Nothing shared: not forked, or loaded by each worker itself.
        check(100 * MIB, 0, false);
        check(31 * MIB, 5 * MIB, false);
    }
}
