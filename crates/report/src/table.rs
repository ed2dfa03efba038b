//! A diagnosis for a person at a terminal: what it is, where it lies, what to type.

use slackwater_base::{Bytes, Class, Ledger, PinnedBy};
use slackwater_diagnose::{Diagnosis, Growth, ProcessReport, Role, Scope, Sharing, Subject, Trend};
use slackwater_heap::{Allocator, ArenaKind, Heap};

use crate::allocator::{decisions, governors};
use crate::columns::{labelled, table, wrapped};
use crate::verdict::conclusion;
use crate::{Style, visible};

/// How much to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// The service, the verdict, the remedy.
    Brief,
    /// Every process, heap, finding and gap besides.
    Full,
}

/// Processes that are listed without being asked for.
const PROCESSES_SHOWN: usize = 12;
/// Shares of RSS below which a class is not worth a word, unless every byte is asked for.
const NEGLIGIBLE_SHARE: f64 = 0.002;
const LABEL: usize = 10;

/// The whole diagnosis.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis, style: Style, detail: Detail) -> String {
    let mut out = heading(diagnosis, style);
    out.push_str(&classes(diagnosis, detail));
    out.push_str(&governors(diagnosis, LABEL));
    if diagnosis.processes.len() > 1
        && (detail == Detail::Full || diagnosis.processes.len() <= PROCESSES_SHOWN)
    {
        out.push('\n');
        out.push_str(&processes(&diagnosis.processes));
        out.push('\n');
    }
    if detail == Detail::Full {
        for process in &diagnosis.processes {
            out.push_str(&heaps(process));
        }
    }
    if let Some(growth) = &diagnosis.growth {
        out.push_str(&slopes(growth, detail));
    }
    out.push_str(&conclusion(diagnosis, style, detail));
    out
}

/// `service gunicorn: 1 master, 4 workers, Python 3.11, glibc 2.36 malloc`
fn heading(diagnosis: &Diagnosis, style: Style) -> String {
    let service = &diagnosis.service;
    let mut parts = Vec::new();
    for (role, one, many) in [
        (Role::Master, "master", "masters"),
        (Role::Worker, "worker", "workers"),
        (Role::Single, "process", "processes"),
        (Role::Other, "helper", "helpers"),
    ] {
        match diagnosis.processes.iter().filter(|process| process.role == role).count() {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            count => parts.push(format!("{count} {many}")),
        }
    }
    let mut pythons: Vec<String> = diagnosis
        .processes
        .iter()
        .filter_map(|process| process.python.as_ref())
        .map(|python| format!("Python {}.{}", python.version.0, python.version.1))
        .collect();
    let mut mallocs: Vec<String> = diagnosis.processes.iter().map(malloc).collect();
    for names in [&mut pythons, &mut mallocs] {
        names.sort();
        names.dedup();
        parts.append(names);
    }
    let name = visible(&service.name);
    let head = wrapped(&format!("service {name}: {}", parts.join(", ")), 2);
    let head = head.replacen(&*name, &style.strong(&name), 1);
    let mut sizes = vec![style.strong(&Bytes(service.rss_bytes).to_string())];
    let mut notes = Vec::new();
    if let Some(pss) = service.pss_bytes {
        notes.push(format!("PSS {}", Bytes(pss)));
    }
    if service.swap_bytes > 0 {
        notes.push(format!("swap {}", Bytes(service.swap_bytes)));
    }
    if service.sharing == Sharing::Proportional && diagnosis.processes.len() > 1 {
        notes.push("shared pages by proportional share".to_owned());
    }
    if !notes.is_empty() {
        sizes.push(format!("({})", notes.join(", ")));
    }
    // The host's root group has no limit and counts everything: that is no container.
    let container =
        service.cgroup.as_ref().filter(|cgroup| cgroup.limit_bytes.is_some() || cgroup.path != "/");
    if let Some(cgroup) = container {
        let limit = cgroup.limit_bytes.map_or_else(String::new, |limit| format!(" of {}", Bytes(limit)));
        sizes.push(format!("container {}{limit}", Bytes(cgroup.usage_bytes)));
    }
    format!("{head}\n{}", labelled("RSS", LABEL, &sizes))
}

/// What serves `malloc`, with its version where it is known.
fn malloc(process: &ProcessReport) -> String {
    match &process.slackwater {
        Some(block) => {
            let library = block.library.to_string();
            format!("slackwater {} (jemalloc {})", visible(&library), slackwater_heap::jemalloc::VERSION)
        }
        None => process.malloc.to_string(),
    }
}

fn classes(diagnosis: &Diagnosis, detail: Detail) -> String {
    let ledger = &diagnosis.service.ledger;
    let rss = diagnosis.service.rss_bytes.max(1);
    let amount = |class: Class, name: &str| {
        let bytes = ledger[class].service;
        let negligible = (bytes as f64) < NEGLIGIBLE_SHARE * rss as f64 && detail == Detail::Brief;
        (bytes > 0 && !negligible).then(|| format!("{name} {}", Bytes(bytes)))
    };
    let mut live = Vec::new();
    live.extend(amount(Class::LivePython, "python"));
    live.extend(amount(Class::LiveNative, "native"));
    live.extend(amount(Class::LiveUnsplit, if live.is_empty() { "heap" } else { "malloc" }));

    let mut slack = Vec::new();
    if let Some(text) = amount(Class::SlackTrimmable, "trimmable") {
        let arenas = malloc_arenas(diagnosis);
        let plural = if arenas == 1 { "arena" } else { "arenas" };
        slack.push(if arenas > 0 { format!("{text} in {arenas} {plural}") } else { text });
    }
    let pinned = amount(Class::SlackPinned, "pinned");
    let has_pinned = pinned.is_some();
    slack.extend(pinned);

    let mut other = Vec::new();
    for (class, name) in [
        (Class::File, "file"),
        (Class::Shmem, "shared"),
        (Class::AnonOther, "anonymous"),
        (Class::Stack, "stacks"),
        (Class::AllocatorOverhead, "overhead"),
        (Class::Own, "slackwater"),
    ] {
        other.extend(amount(class, name));
    }
    // Shown even when it is nothing: what a tool cannot explain it must not hide.
    other.push(format!("unexplained {}", Bytes(ledger[Class::Unexplained].service)));

    let or_nothing = |items: Vec<String>| {
        if items.is_empty() { vec!["next to nothing".to_owned()] } else { items }
    };
    let mut out = labelled("live", LABEL, &or_nothing(live));
    out.push_str(&labelled("slack", LABEL, &or_nothing(slack)));
    let reasons = pin_reasons(&diagnosis.service.pinned_by, rss);
    if has_pinned && !reasons.is_empty() {
        out.push_str(&labelled("pinned by", LABEL, &reasons));
    }
    out.push_str(&labelled("other", LABEL, &other));
    out
}

/// What pins slack, the largest reason first.
fn pin_reasons(pinned_by: &PinnedBy, rss: u64) -> Vec<String> {
    let mut reasons: Vec<(u64, &str)> =
        pinned_by.iter().map(|(reason, bytes)| (bytes.service, reason.key())).collect();
    reasons.retain(|(bytes, _)| *bytes as f64 >= NEGLIGIBLE_SHARE * rss as f64);
    reasons.sort_unstable_by(|one, other| other.cmp(one));
    reasons.iter().map(|(bytes, name)| format!("{name} {}", Bytes(*bytes))).collect()
}

fn malloc_arenas(diagnosis: &Diagnosis) -> usize {
    diagnosis
        .processes
        .iter()
        .flat_map(|process| &process.heaps)
        .flat_map(|report| &report.heap.arenas)
        .filter(|arena| matches!(arena.kind, ArenaKind::Main | ArenaKind::Secondary | ArenaKind::Jemalloc))
        .count()
}

fn processes(processes: &[ProcessReport]) -> String {
    let rows: Vec<Vec<String>> = processes.iter().map(process_row).collect();
    table(&["PID", "ROLE", "RSS", "LIVE", "TRIMMABLE", "PINNED", "OTHER", "UNEXPLAINED"], &[1], &rows)
}

fn process_row(process: &ProcessReport) -> Vec<String> {
    let of = |class: Class| process.ledger[class].process;
    let named = process.ledger.live().process + process.ledger.slack().process + of(Class::Unexplained);
    let total = process.ledger.total().process;
    let known =
        |bytes: u64| if process.scope == Scope::Heaps { Bytes(bytes).to_string() } else { "?".to_owned() };
    vec![
        process.pid.to_string(),
        process.role.to_string(),
        Bytes(process.rss_bytes).to_string(),
        known(process.ledger.live().process),
        known(of(Class::SlackTrimmable)),
        known(of(Class::SlackPinned)),
        Bytes(total.saturating_sub(named)).to_string(),
        Bytes(of(Class::Unexplained)).to_string(),
    ]
}

fn heaps(process: &ProcessReport) -> String {
    let mut out = format!("pid {} {} {}\n", process.pid, process.role, visible(&process.command));
    for report in &process.heaps {
        out.push_str(&heap(&report.heap));
    }
    out.push_str(&decisions(process));
    out.push('\n');
    out
}

fn heap(heap: &Heap) -> String {
    let title = match &heap.allocator {
        Allocator::Glibc { version, settings } => format!(
            "glibc {version}: {} arenas, {} mapped chunks, trim threshold {}{}",
            heap.arenas.iter().filter(|arena| arena.kind != ArenaKind::Mapped).count(),
            settings.n_mmaps,
            Bytes(settings.trim_threshold),
            if settings.dynamic { "" } else { " (fixed)" },
        ),
        Allocator::Pymalloc => format!("pymalloc: {} arenas", heap.arenas.len()),
        Allocator::Slackwater { library } => {
            format!("slackwater {} (jemalloc): {} arenas", visible(library), heap.arenas.len())
        }
    };
    let mut out = format!("  {title}\n");
    let mut rows: Vec<Vec<String>> = heap
        .arenas
        .iter()
        .filter(|arena| arena.kind != ArenaKind::Pymalloc)
        .map(|arena| heap_row(arena.kind.key(), &arena.ledger, arena.live.count, arena.retries))
        .collect();
    if rows.len() != 1 {
        rows.push(heap_row(
            "total",
            &heap.ledger,
            heap.live.count,
            heap.arenas.iter().map(|arena| arena.retries).sum(),
        ));
    }
    out.push_str(&table(
        &["ARENA", "RESIDENT", "LIVE", "BLOCKS", "TRIMMABLE", "PINNED", "RETRIES"],
        &[0],
        &rows,
    ));
    out
}

fn heap_row(name: &str, ledger: &Ledger, blocks: u64, retries: u32) -> Vec<String> {
    vec![
        name.to_owned(),
        Bytes(ledger.total().process).to_string(),
        Bytes(ledger.live().process).to_string(),
        blocks.to_string(),
        Bytes(ledger[Class::SlackTrimmable].process).to_string(),
        Bytes(ledger[Class::SlackPinned].process).to_string(),
        retries.to_string(),
    ]
}

fn slopes(growth: &Growth, detail: Detail) -> String {
    let mut out = format!(
        "watched for {:.0} s, {} samples; change per second with its 95 % interval\n",
        growth.duration.as_secs_f64(),
        growth.n_samples
    );
    let rows: Vec<Vec<String>> = growth
        .slopes
        .iter()
        .filter(|slope| slope.pid.is_none())
        .filter(|slope| detail == Detail::Full || slope.subject == Subject::Rss || slope.trend != Trend::Flat)
        .map(|slope| {
            vec![
                slope.subject.key().replace('_', " "),
                rate(slope.bytes_per_second),
                format!("{} to {}", rate(slope.low), rate(slope.high)),
                slope.trend.to_string(),
            ]
        })
        .collect();
    out.push_str(&table(&["WHAT", "PER SECOND", "INTERVAL", "TREND"], &[0, 3], &rows));
    out.push('\n');
    out
}

/// A rate of bytes, with its sign.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    let sign = if bytes_per_second <= -0.5 { "-" } else { "" };
    format!("{sign}{}", Bytes(bytes_per_second.abs().round() as u64))
}
