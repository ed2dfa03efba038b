//! What an allocator says of itself: the governor's state and decisions, jemalloc's statistics and
//! settings.
//!
//! Invariant: of text, only JSON strings leave here; lines for terminals hold words of ours and numbers.

use serde_json::{Value, json};
use slackwater_base::Bytes;
use slackwater_diagnose::{Diagnosis, Jemalloc, ProcessReport};
use slackwater_heap::jemalloc::{Choice, Governor, GovernorState, Reason, Snapshot, Statistics};

use crate::columns::labelled;

/// Decisions that are shown of one process.
const DECISIONS_SHOWN: usize = 5;

/// One line on the governors of a service; nothing where our library does not serve.
pub(crate) fn governors(diagnosis: &Diagnosis, label_width: usize) -> String {
    let blocks: Vec<&Snapshot> =
        diagnosis.processes.iter().filter_map(|process| process.slackwater.as_deref()).collect();
    if blocks.is_empty() {
        return String::new();
    }
    let in_state = |state: Option<GovernorState>| {
        let count = blocks.iter().filter(|block| block.governor.state == state).count();
        let word = state.map_or("unknown", GovernorState::key);
        match (count, blocks.len()) {
            (0, _) => None,
            (_, 1) => Some(word.to_owned()),
            (count, _) => Some(format!("{word} in {count}")),
        }
    };
    let states = GovernorState::ALL.iter().copied().map(Some).chain([None]);
    let mut items: Vec<String> = states.filter_map(in_state).collect();
    let decisions: u64 = blocks.iter().map(|block| u64::from(block.governor.n_decisions)).sum();
    let given_back = blocks.iter().map(|block| block.governor.purged_bytes).sum();
    let cpu_seconds: f64 = blocks.iter().map(|block| block.governor.cpu_ns as f64 / 1e9).sum();
    items.push(format!("{decisions} decisions"));
    items.push(format!("{} given back", Bytes(given_back)));
    items.push(format!("{cpu_seconds:.2} s of CPU"));
    labelled("governor", label_width, &items)
}

/// What the governor of one process decided last, oldest first.
pub(crate) fn decisions(process: &ProcessReport) -> String {
    let Some(block) = &process.slackwater else { return String::new() };
    let mut items: Vec<String> =
        block.governor.decisions().rev().take(DECISIONS_SHOWN).map(decision).collect();
    items.reverse();
    if items.is_empty() { String::new() } else { labelled("decided", 10, &items) }
}

fn decision(choice: &Choice) -> String {
    let word = choice.reason.map_or("unknown", Reason::key);
    match choice.reason {
        Some(Reason::Decay) => format!("{word} {} ms", choice.bytes),
        _ => format!("{word} {}", Bytes(choice.bytes)),
    }
}

/// Our library's block as JSON.
pub(crate) fn block_json(block: &Snapshot) -> Value {
    let settings = &block.settings;
    json!({
        "library": block.library.to_string(),
        "statistics": statistics_json(&block.statistics),
        "settings": {
            "arenas": settings.n_arenas,
            "background_threads": settings.background_threads,
            "dirty_decay_ms": settings.dirty_decay_ms,
            "muzzy_decay_ms": settings.muzzy_decay_ms,
            "thread_cache_max_bytes": settings.thread_cache_max_bytes,
            "options": settings.options().to_string(),
            "user_options": settings.user_options().to_string(),
            "refused_options": settings.n_refused_options,
        },
        "governor": governor_json(&block.governor),
    })
}

fn governor_json(governor: &Governor) -> Value {
    json!({
        "state": governor.state.map(GovernorState::key),
        "ticks": governor.n_ticks,
        "cpu_seconds": governor.cpu_ns as f64 / 1e9,
        "purge_cpu_seconds": governor.purge_cpu_ns as f64 / 1e9,
        "purged_bytes": governor.purged_bytes,
        "limit_bytes": (governor.limit_bytes > 0).then_some(governor.limit_bytes),
        "decisions": governor.n_decisions,
        "last_decisions": governor.decisions().map(|choice| json!({
            "at_seconds": choice.at_ns as f64 / 1e9,
            "reason": choice.reason.map(Reason::key),
            "bytes": (choice.reason != Some(Reason::Decay)).then_some(choice.bytes),
            "decay_ms": (choice.reason == Some(Reason::Decay)).then_some(choice.bytes),
            "refaults_permille": choice.refaults_permille,
        })).collect::<Vec<_>>(),
    })
}

/// What can be seen of a jemalloc that is not ours.
pub(crate) fn jemalloc_json(jemalloc: &Jemalloc) -> Value {
    json!({
        "background_asked": jemalloc.background_asked,
        "background_threads": jemalloc.background_threads,
        "statistics": jemalloc.statistics.as_ref().map(statistics_json),
    })
}

pub(crate) fn statistics_json(statistics: &Statistics) -> Value {
    json!({
        "allocated_bytes": statistics.allocated_bytes,
        "active_bytes": statistics.active_bytes,
        "resident_bytes": statistics.resident_bytes,
        "dirty_bytes": statistics.dirty_bytes,
        "muzzy_bytes": statistics.muzzy_bytes,
        "metadata_bytes": statistics.metadata_bytes,
        "retained_bytes": statistics.retained_bytes,
        "cached_bytes": statistics.cached_bytes,
    })
}
