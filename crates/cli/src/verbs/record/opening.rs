//! The opening look: what a process held when its recording began.
//!
//! Reads only. It is taken when the agent has been loaded, so nothing is missed between the two; what was
//! allocated in that moment is in both.

use std::fmt::Write as _;

use slackwater_base::{Class, Ledger, Pid};
use slackwater_capture::{Before, Record};
use slackwater_diagnose::{Member, ProcessReport};
use slackwater_heap::Allocator;
use slackwater_procfs::Root;

use crate::verbs::look;

/// What was found in a process.
pub(super) struct Opening {
    pub(super) pid: Pid,
    pub(super) found: Vec<Record<'static>>,
}

impl Opening {
    /// Looks through a process; nothing is found in one that is gone or cannot be read.
    pub(super) fn of(root: &Root, member: &Member) -> Self {
        let found = look::alone(root, member).map_or_else(|_| Vec::new(), |report| records(&report));
        Self { pid: member.pid, found }
    }
}

fn records(report: &ProcessReport) -> Vec<Record<'static>> {
    let mut malloc = report.malloc.kind.to_string();
    if let Some(version) = report.malloc.version {
        let _ = write!(malloc, " {version}");
    }
    let mut records = vec![fact("malloc", malloc)];
    if let Some(python) = &report.python {
        records.push(fact("python", python.text.clone()));
        records.push(fact("python objects", python.objects.to_string()));
    }
    let mut rest = report.ledger;
    for heap in report.heaps.iter().map(|one| &one.heap) {
        let holder = match &heap.allocator {
            Allocator::Glibc { .. } => "glibc",
            Allocator::Pymalloc => "pymalloc",
            Allocator::Slackwater { .. } => "slackwater",
        };
        for (class, resident) in heap.ledger.iter() {
            rest[class] = rest[class].saturating_sub(resident);
        }
        records.extend(before(holder, &heap.ledger, heap.live.count));
    }
    records.extend(before("", &rest, 0));
    records
}

fn fact(key: &'static str, value: String) -> Record<'static> {
    Record::Fact { key: key.into(), value: value.into() }
}

/// One record for each class that has bytes; blocks are those of the live one.
fn before(holder: &'static str, ledger: &Ledger, n_live: u64) -> Vec<Record<'static>> {
    let classes = ledger.iter().filter(|(_, resident)| resident.process > 0);
    let record = |(class, resident): (Class, slackwater_base::Resident)| {
        let is_live = matches!(class, Class::LivePython | Class::LiveNative | Class::LiveUnsplit);
        Record::Before(Before {
            holder: holder.into(),
            class: class.to_string().into(),
            bytes: resident.process,
            blocks: if is_live { n_live } else { 0 },
        })
    };
    classes.map(record).collect()
}
