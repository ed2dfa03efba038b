//! One process, as far as it can be told without reading its memory: the classes that /proc alone
//! allows.
//!
//! Invariant: what could be a heap is unexplained here, since live and slack cannot be told apart.

use slackwater_base::{Class, Gap, Ledger, Resident};
use slackwater_memory::{Kind, Mapping};
use slackwater_procfs::{ProcError, Process};

use super::figures::{Area, Figures};
use crate::service::Member;
use crate::{ProcessReport, Scope};

/// Looks at the process `member` of a service from outside only, because of `cause`.
///
/// # Errors
/// When the process is gone or has no memory.
pub fn survey(process: &Process, member: &Member, cause: &str) -> Result<ProcessReport, ProcError> {
    process.require_memory()?;
    let mut gaps = vec![Gap::new("live memory and slack", format!("the heap was not read: {cause}"))];
    let figures = Figures::read(process, &mut gaps)?;
    let tids = process.tasks().unwrap_or_default();
    let mut report = super::begin(process, member, &figures, &tids);
    (report.ledger, report.scope) = match process.maps() {
        Ok(mappings) if !figures.areas.is_empty() => (by_area(&mappings, &figures), Scope::Maps),
        Err(error) if error.is_gone() => return Err(error),
        _ => (by_total(process)?, Scope::Totals),
    };
    let missing = figures.rss_bytes.saturating_sub(report.ledger.total().process);
    report.ledger[Class::Unexplained] += Resident { process: missing, service: missing };
    report.rss_bytes = report.ledger.total().process;
    report.gaps = gaps;
    Ok(report)
}

fn by_area(mappings: &[Mapping], figures: &Figures) -> Ledger {
    let mut ledger = Ledger::default();
    for &Area { range, rss_bytes, pss_bytes, uncounted } in &figures.areas {
        let after = mappings.partition_point(|mapping| mapping.range.start <= range.start);
        let mapping = mappings[..after].last().filter(|mapping| mapping.range.contains(range.start));
        let class = mapping.map_or(Class::Unexplained, |mapping| match &mapping.kind {
            // The loader's, the interpreter's and the threads' anonymous memory are among it.
            Kind::Anonymous { .. } | Kind::Heap => Class::Unexplained,
            _ => super::ledger::class_of(mapping, Class::Unexplained),
        });
        if !uncounted {
            ledger[class] += Resident { process: rss_bytes, service: pss_bytes };
        }
    }
    ledger
}

fn by_total(process: &Process) -> Result<Ledger, ProcError> {
    let status = process.status()?;
    let mut ledger = Ledger::default();
    for (class, bytes) in [
        (Class::Unexplained, status.rss_anon_bytes),
        (Class::File, status.rss_file_bytes),
        (Class::Shmem, status.rss_shmem_bytes),
    ] {
        let bytes = bytes.unwrap_or_default();
        ledger[class] += Resident { process: bytes, service: bytes };
    }
    Ok(ledger)
}
