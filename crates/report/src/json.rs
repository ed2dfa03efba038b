//! The JSON of `diagnose`: schema 1, as `docs/schema/diagnose.v1.json` states it.
//!
//! Invariant: fields are only ever added to a schema number. Bytes are integers, rates are numbers
//! of bytes per second, a fact that could not be had is `null`, never zero.

use serde::Serialize;
use serde_json::{Map, Value, json};
use slackwater_base::{Gap, Ledger, PinnedBy, Resident};
use slackwater_diagnose::{
    Advice, Cgroup, Diagnosis, Evidence, Finding, Growth, HeapReport, MallocKind, ProcessReport, Quantity,
    Slope,
};
use slackwater_heap::{Allocator, Arena, ArenaKind};

use crate::allocator::{block_json, jemalloc_json};
use crate::text::acts_on_terminal;

/// The schema's number.
pub const SCHEMA: u32 = 1;

/// One diagnosis as a JSON document.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis) -> Value {
    let service = &diagnosis.service;
    json!({
        "schema": SCHEMA,
        "verdict": diagnosis.verdict.key(),
        "service": {
            "name": service.name,
            "rss_bytes": service.rss_bytes,
            "pss_bytes": service.pss_bytes,
            "swap_bytes": service.swap_bytes,
            "sharing": service.sharing.key(),
            "ledger": ledger(&service.ledger, |bytes| bytes.service),
            "pinned_by": pinned_by(&service.pinned_by, |bytes| bytes.service),
            "cgroup": service.cgroup.as_ref().map(cgroup),
        },
        "processes": diagnosis.processes.iter().map(process).collect::<Vec<_>>(),
        "findings": diagnosis.findings.iter().map(finding).collect::<Vec<_>>(),
        "growth": diagnosis.growth.as_ref().map(growth),
        "gaps": gaps(&diagnosis.gaps),
    })
}

fn process(process: &ProcessReport) -> Value {
    json!({
        "pid": process.pid.0,
        "parent": process.parent.0,
        "role": process.role.key(),
        "command": process.command,
        "python": process.python.as_ref().map(|python| python.text.clone()),
        "python_build": process.python.as_ref().map(|python| json!({
            "objects": python.objects.key(),
            "free_threaded": python.free_threaded,
            "debug": python.debug,
        })),
        "allocator": process.malloc.kind.key(),
        "allocator_version": process.malloc.version.map(|version| version.to_string()),
        "other_allocators": process.malloc.others.iter().map(other_allocator).collect::<Vec<_>>(),
        "slackwater": process.slackwater.as_deref().map(block_json),
        "jemalloc": process.jemalloc.as_ref().map(jemalloc_json),
        "threads": process.n_threads,
        "rss_bytes": process.rss_bytes,
        "pss_bytes": process.pss_bytes,
        "uss_bytes": process.uss_bytes,
        "swap_bytes": process.swap_bytes,
        "huge_bytes": process.huge_bytes,
        "lazy_free_bytes": process.lazy_free_bytes,
        "scope": process.scope.key(),
        "ledger": ledger(&process.ledger, |bytes| bytes.process),
        "trimmable_bytes": process.trimmable_bytes(),
        "pinned_by": pinned_by(&process.pinned_by, |bytes| bytes.process),
        "heaps": process.heaps.iter().map(heap).collect::<Vec<_>>(),
        "gaps": gaps(&process.gaps),
    })
}

fn other_allocator((kind, library): &(MallocKind, String)) -> Value {
    json!({ "allocator": kind.key(), "library": library })
}

fn heap(report: &HeapReport) -> Value {
    let heap = &report.heap;
    let (name, settings) = match &heap.allocator {
        Allocator::Glibc { settings, .. } => (
            "glibc",
            json!({
                "trim_threshold_bytes": settings.trim_threshold,
                "mmap_threshold_bytes": settings.mmap_threshold,
                "arena_max": settings.arena_max,
                "dynamic": settings.dynamic,
                "mapped_chunks": settings.n_mmaps,
                "mapped_bytes": settings.mmapped_bytes,
            }),
        ),
        Allocator::Pymalloc => ("pymalloc", Value::Null),
        Allocator::Slackwater { .. } => ("slackwater", Value::Null),
    };
    json!({
        "allocator": name,
        "settings": settings,
        "arenas": heap.arenas.len(),
        "live_bytes": heap.ledger.live().process,
        "live_block_bytes": heap.live.bytes,
        "live_blocks": heap.live.count,
        "slack_trimmable_bytes": heap.ledger[slackwater_base::Class::SlackTrimmable].process,
        "slack_pinned_bytes": heap.ledger[slackwater_base::Class::SlackPinned].process,
        "overhead_bytes": heap.ledger[slackwater_base::Class::AllocatorOverhead].process,
        "pinned_by": pinned_by(&heap.pinned_by, |bytes| bytes.process),
        "retries": heap.arenas.iter().map(|arena| u64::from(arena.retries)).sum::<u64>(),
        // A service with 4 GB in pymalloc has 4000 arenas, alike: listing them helps nobody.
        "arena_list": heap.arenas.iter().filter(|arena| arena.kind != ArenaKind::Pymalloc).map(arena).collect::<Vec<_>>(),
    })
}

fn arena(arena: &Arena) -> Value {
    json!({
        "address": format!("{:#x}", arena.addr.get()),
        "kind": arena.kind.key(),
        "mapped_bytes": arena.mapped_bytes,
        "resident_bytes": arena.ledger.total().process,
        "live_bytes": arena.ledger.live().process,
        "slack_trimmable_bytes": arena.ledger[slackwater_base::Class::SlackTrimmable].process,
        "slack_pinned_bytes": arena.ledger[slackwater_base::Class::SlackPinned].process,
        "pinned_by": pinned_by(&arena.pinned_by, |bytes| bytes.process),
        "retries": arena.retries,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code.key(),
        "title": finding.code.title(),
        "kind": finding.kind.key(),
        "pid": finding.pid.map(|pid| pid.0),
        "bytes": finding.bytes,
        "bytes_per_second": finding.bytes_per_second,
        "confidence": finding.confidence.value,
        "confidence_why": finding.confidence.why,
        "evidence": finding.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "advice": finding.advice.iter().map(advice).collect::<Vec<_>>(),
    })
}

fn evidence(evidence: &Evidence) -> Value {
    let (value, unit) = match evidence.value {
        Quantity::Bytes(bytes) => (json!(bytes), "bytes"),
        Quantity::Count(count) => (json!(count), "count"),
        Quantity::Share(share) => (json!(share), "share"),
        Quantity::BytesPerSecond(rate) => (json!(rate), "bytes_per_second"),
        Quantity::Seconds(seconds) => (json!(seconds), "seconds"),
    };
    json!({ "name": evidence.name, "value": value, "unit": unit })
}

fn advice(advice: &Advice) -> Value {
    json!({ "when": advice.when.key(), "command": advice.command, "effect": advice.effect })
}

fn growth(growth: &Growth) -> Value {
    json!({
        "seconds": growth.duration.as_secs_f64(),
        "samples": growth.n_samples,
        "slopes": growth.slopes.iter().map(slope).collect::<Vec<_>>(),
    })
}

fn slope(slope: &Slope) -> Value {
    json!({
        "subject": slope.subject.key(),
        "pid": slope.pid.map(|pid| pid.0),
        "bytes_per_second": slope.bytes_per_second,
        "low": slope.low,
        "high": slope.high,
        "gained_bytes": slope.gained_bytes,
        "trend": slope.trend.key(),
    })
}

fn cgroup(cgroup: &Cgroup) -> Value {
    json!({
        "path": cgroup.path,
        "usage_bytes": cgroup.usage_bytes,
        "limit_bytes": cgroup.limit_bytes,
        "anon_bytes": cgroup.anon_bytes,
        "file_bytes": cgroup.file_bytes,
        "shmem_bytes": cgroup.shmem_bytes,
    })
}

fn gaps(gaps: &[Gap]) -> Value {
    gaps.iter().map(|gap| json!({ "subject": gap.subject, "cause": gap.cause })).collect()
}

fn ledger(ledger: &Ledger, side: impl Fn(Resident) -> u64) -> Map<String, Value> {
    ledger.iter().map(|(class, bytes)| (class.key().to_owned(), side(bytes).into())).collect()
}

fn pinned_by(pinned_by: &PinnedBy, side: impl Fn(Resident) -> u64) -> Map<String, Value> {
    pinned_by.iter().map(|(reason, bytes)| (reason.key().to_owned(), side(bytes).into())).collect()
}

/// One line of newline-delimited JSON.
#[must_use]
pub fn line(value: &impl Serialize) -> String {
    // A value made of maps with string keys, numbers and strings always serialises.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Only within strings, where an escape stands for the same.
        if acts_on_terminal(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| line.push_str(&format!("\\u{unit:04x}")));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}
