//! What `verify` found: a line for each process, then what is wrong and the fix.

use serde_json::{Value, json};
use slackwater_base::{Bytes, Pid};
use slackwater_diagnose::MallocKind;
use slackwater_diagnose::serving::{Grade, Mistake, Origin, Serving, Setting};
use slackwater_heap::jemalloc::Statistics;

use crate::columns::{labelled, table as columns};
use crate::{Style, visible, wrapped};

/// The schema's number.
const SCHEMA: u32 = 1;

/// The processes of a service, as they are served.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    /// The service's name.
    pub service: &'a str,
    /// Its processes.
    pub processes: &'a [Serving],
    /// What should serve them, when the user said.
    pub expected: Option<MallocKind>,
}

impl Verified<'_> {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.processes.iter().all(|process| process.is_sound() && self.is_as_expected(process) != Some(false))
    }

    fn is_as_expected(&self, process: &Serving) -> Option<bool> {
        self.expected.map(|kind| process.is_served_by(kind))
    }
}

/// The service as a JSON document, as `docs/schema/verify.v1.json` states it.
#[must_use]
pub fn json(verified: &Verified<'_>) -> Value {
    json!({
        "schema": SCHEMA,
        "service": { "name": verified.service },
        "expected": verified.expected.map(MallocKind::key),
        "ok": verified.is_sound(),
        "processes": verified.processes.iter().map(|one| process(verified, one)).collect::<Vec<_>>(),
    })
}

fn process(verified: &Verified<'_>, process: &Serving) -> Value {
    let server = &process.server;
    json!({
        "pid": process.pid.0,
        "parent": process.parent.0,
        "role": process.role.key(),
        "command": process.command,
        "malloc": {
            "allocator": server.kind.key(),
            "library": server.library,
            "evidence": server.evidence.key(),
            "bound_files": server.n_bound,
            "unresolved_files": server.n_unresolved,
            "elsewhere": server.elsewhere.iter().map(|one| json!({
                "file": one.caller,
                "library": one.library,
            })).collect::<Vec<_>>(),
            "mixed": server.mixed,
        },
        "others": process.others.iter().map(|(kind, file)| json!({
            "allocator": kind.key(),
            "file": file,
        })).collect::<Vec<_>>(),
        "c_library": process.c_library.key(),
        "glibc": process.glibc.map(|version| version.to_string()),
        "secure": process.secure,
        "preloads": process.preloads.iter().map(|preload| json!({
            "entry": preload.entry,
            "source": preload.source.key(),
            "allocator": preload.allocator.map(MallocKind::key),
            "fate": preload.fate.key(),
        })).collect::<Vec<_>>(),
        "settings": process.settings.iter().map(|setting| json!({
            "key": setting.key,
            "value": setting.value,
            "origin": setting.origin.key(),
        })).collect::<Vec<_>>(),
        "purging": {
            "by": process.purging.by.key(),
            "when_idle": process.purging.by.works_when_idle(),
            "evidence": process.purging.evidence,
        },
        "governor": process.governor.as_ref().map(|governor| json!({
            "state": governor.state,
            "own": governor.is_own,
            "ticks": governor.n_ticks,
            "decisions": governor.n_decisions,
            "purged_bytes": governor.purged_bytes,
            "cpu_seconds": governor.cpu_ns as f64 / 1e9,
            "last_reasons": governor.last,
        })),
        "version": process.version,
        "statistics": process.statistics.as_ref().map(crate::allocator::statistics_json),
        "python_objects": process.objects.map(slackwater_diagnose::ObjectAllocator::key),
        "as_expected": verified.is_as_expected(process),
        "mistakes": process.mistakes.iter().map(mistake).collect::<Vec<_>>(),
        "gaps": process.gaps.iter().map(|gap| json!({
            "subject": gap.subject,
            "cause": gap.cause,
        })).collect::<Vec<_>>(),
    })
}

fn mistake(mistake: &Mistake) -> Value {
    json!({
        "code": mistake.code.key(),
        "grade": mistake.code.grade().key(),
        "title": mistake.code.title(),
        "evidence": mistake.evidence,
        "fix": mistake.fix,
    })
}

/// The service as a table.
#[must_use]
pub fn table(verified: &Verified<'_>, style: Style) -> String {
    let mut out = format!("service {}\n", style.strong(&visible(verified.service)));
    let rows: Vec<Vec<String>> = verified.processes.iter().map(row).collect();
    out.push_str(&columns(
        &["PID", "ROLE", "SERVED BY", "SEEN BY", "OBJECTS", "GIVES BACK WHEN IDLE"],
        &[1, 2, 3, 4, 5],
        &rows,
    ));
    let library = |process: &Serving| {
        process.server.library.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    let holds = |process: &Serving| process.statistics.as_ref().map(held).unwrap_or_default();
    for (items, pids) in groups(verified.processes, library) {
        out.push_str(&items_of("library", &items, &of(&pids, verified)));
    }
    for (items, pids) in groups(verified.processes, |process| digest(&process.settings)) {
        out.push_str(&items_of("settings", &items, &of(&pids, verified)));
    }
    for (items, pids) in groups(verified.processes, holds) {
        out.push_str(&items_of("holds", &items, &of(&pids, verified)));
    }
    let unseen = |process: &Serving| {
        process.gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.cause)).collect::<Vec<_>>()
    };
    for (gaps, pids) in groups(verified.processes, unseen) {
        for gap in gaps {
            paragraph(&mut out, &format!("not seen  {}{}", visible(&gap), of(&pids, verified)), 12);
        }
    }
    mistakes(&mut out, verified, style);
    out.push_str(&wrapped(&sentence(verified, style), 0));
    out.push('\n');
    out
}

fn row(process: &Serving) -> Vec<String> {
    let server = &process.server;
    let idle = match process.purging.by.works_when_idle() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let governor = process.governor.as_ref().and_then(|governor| governor.state);
    let how = match governor {
        Some(state) if process.purging.by.works_when_idle() == Some(true) => {
            format!("{idle}: governor, {state}")
        }
        _ => format!("{idle}: {}", process.purging.by.key()),
    };
    vec![
        process.pid.to_string(),
        process.role.key().to_owned(),
        server.kind.key().to_owned(),
        server.evidence.key().to_owned(),
        process.objects.map_or("-", slackwater_diagnose::ObjectAllocator::key).to_owned(),
        how,
    ]
}

/// `key:value` of each setting, and after the last of one origin where they are from.
fn digest(settings: &[Setting]) -> Vec<String> {
    let mut items = Vec::new();
    for origin in Origin::ALL {
        let of_origin = settings.iter().filter(|setting| setting.origin == *origin);
        let before = items.len();
        items.extend(of_origin.map(|setting| format!("{}:{}", setting.key, setting.value)));
        if let Some(last) = items[before..].last_mut() {
            *last += &format!(" ({origin})");
        }
    }
    items
}

/// What a jemalloc holds.
fn held(statistics: &Statistics) -> Vec<String> {
    let live = statistics.allocated_bytes.saturating_sub(statistics.cached_bytes);
    let holes = statistics.active_bytes.saturating_sub(statistics.allocated_bytes);
    let unused = statistics.dirty_bytes.saturating_add(statistics.muzzy_bytes);
    let parts = [
        ("live", live),
        ("cached", statistics.cached_bytes),
        ("holes", holes),
        ("unused", unused),
        ("metadata", statistics.metadata_bytes),
    ];
    parts.into_iter().map(|(name, bytes)| format!("{name} {}", Bytes(bytes))).collect()
}

/// Items under a label, and which processes they are of.
fn items_of(label: &str, items: &[String], pids: &str) -> String {
    let mut shown: Vec<String> = items.iter().map(|item| visible(item).into_owned()).collect();
    shown.extend((!pids.is_empty()).then(|| pids.trim_start().to_owned()));
    labelled(label, 10, &shown)
}

fn mistakes(out: &mut String, verified: &Verified<'_>, style: Style) {
    let mut found: Vec<(&Mistake, Vec<Pid>)> = Vec::new();
    for process in verified.processes {
        for mistake in &process.mistakes {
            let alike = |(known, _): &&mut (&Mistake, Vec<Pid>)| {
                known.code == mistake.code && known.fix == mistake.fix
            };
            match found.iter_mut().find(alike) {
                Some((_, pids)) => pids.push(process.pid),
                None => found.push((mistake, vec![process.pid])),
            }
        }
    }
    found.sort_by_key(|(mistake, _)| (mistake.code.grade(), mistake.code));
    for (mistake, mut pids) in found {
        pids.dedup();
        let code = match mistake.code.grade() {
            Grade::Mistake => style.error(mistake.code.key()),
            Grade::Note => style.dim(mistake.code.key()),
        };
        let text = format!("{code} {}{}", mistake.code.title(), of(&pids, verified));
        out.push_str(&wrapped(&text, 2));
        out.push('\n');
        for evidence in &mistake.evidence {
            paragraph(out, &visible(evidence), 2);
        }
        let fix = format!("{} {}", style.good("fix:"), visible(&mistake.fix));
        paragraph(out, &fix, 7);
    }
}

/// An indented paragraph whose further lines begin after `indent` columns.
fn paragraph(out: &mut String, text: &str, indent: usize) {
    out.push_str(&format!("  {}\n", wrapped(text, indent.max(2))));
}

/// Which processes, unless all of them.
fn of(pids: &[Pid], verified: &Verified<'_>) -> String {
    if pids.len() == verified.processes.len() {
        return String::new();
    }
    let pids: Vec<String> = pids.iter().map(Pid::to_string).collect();
    format!(" [{}]", pids.join(", "))
}

/// Processes of which the same is true, together.
fn groups(processes: &[Serving], key: impl Fn(&Serving) -> Vec<String>) -> Vec<(Vec<String>, Vec<Pid>)> {
    let mut groups: Vec<(Vec<String>, Vec<Pid>)> = Vec::new();
    for process in processes {
        let key = key(process);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            _ if key.is_empty() => {}
            Some((_, pids)) => pids.push(process.pid),
            None => groups.push((key, vec![process.pid])),
        }
    }
    groups
}

fn sentence(verified: &Verified<'_>, style: Style) -> String {
    let all = verified.processes;
    let of_all = |wrong: usize| match all.len() {
        1 => "the process".to_owned(),
        total => format!("{wrong} of {total} processes"),
    };
    if let Some(expected) = verified.expected {
        let others = all.iter().filter(|process| !process.is_served_by(expected)).count();
        if others > 0 {
            return style.error(&format!("{expected} does not serve {}.", of_all(others)));
        }
    }
    let unsound = all.iter().filter(|process| !process.is_sound()).count();
    if unsound > 0 {
        return style.error(&format!(
            "{} not as meant.",
            match all.len() {
                1 => "It is".to_owned(),
                _ => format!("{} are", of_all(unsound)),
            }
        ));
    }
    let purged: u64 = all.iter().filter_map(|process| Some(process.governor.as_ref()?.purged_bytes)).sum();
    let given_back = if purged > 0 {
        format!(" The governor has given back {} so far.", Bytes(purged))
    } else {
        String::new()
    };
    let kinds: std::collections::BTreeSet<&str> =
        all.iter().map(|process| process.server.kind.key()).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    format!("Served by {}; nothing contradicts what was asked for.{given_back}", kinds.join(" and "))
}
