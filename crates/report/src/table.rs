//! A diagnosis for a person at a terminal: what it is, where it lies, what to type.

use slackwater_base::{Bytes, Class, Gap, Ledger, PinnedBy};
use slackwater_diagnose::{
    Advice, Code, Diagnosis, Finding, Growth, Kind, ProcessReport, Role, Scope, Sharing, Subject, Trend,
};
use slackwater_heap::{Allocator, ArenaKind, Heap};

use crate::columns::{WIDTH, labelled, shown_width, table, wrapped};
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
/// Gaps that are listed without being asked for.
const GAPS_SHOWN: usize = 3;
/// Shares of RSS below which a class is not worth a word, unless every byte is asked for.
const NEGLIGIBLE_SHARE: f64 = 0.002;
const LABEL: usize = 10;

/// The whole diagnosis.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis, style: Style, detail: Detail) -> String {
    let mut out = heading(diagnosis, style);
    out.push_str(&classes(diagnosis, detail));
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
    out.push_str(&verdict(diagnosis, style));
    out.push_str(&remedies(&diagnosis.findings, style));
    out.push_str(&besides(&diagnosis.findings, style, detail));
    out.push_str(&missing(diagnosis, style, detail));
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
    let mut mallocs: Vec<String> =
        diagnosis.processes.iter().map(|process| process.malloc.to_string()).collect();
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
        out.push_str(&labelled("", LABEL, &[format!("pinned by {}", reasons.join(", "))]));
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
        .filter(|arena| matches!(arena.kind, ArenaKind::Main | ArenaKind::Secondary))
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
    };
    let mut out = format!("  {title}\n");
    let mut rows: Vec<Vec<String>> = heap
        .arenas
        .iter()
        .filter(|arena| arena.kind != ArenaKind::Pymalloc)
        .map(|arena| {
            let name = match arena.kind {
                ArenaKind::Main => "main",
                ArenaKind::Secondary => "secondary",
                ArenaKind::Mapped => "mapped",
                ArenaKind::Pymalloc => "pymalloc",
            };
            heap_row(name, &arena.ledger, arena.live.count, arena.retries)
        })
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

fn rate(bytes_per_second: f64) -> String {
    let sign = if bytes_per_second <= -0.5 { "-" } else { "" };
    format!("{sign}{}", Bytes(bytes_per_second.abs().round() as u64))
}

fn verdict(diagnosis: &Diagnosis, style: Style) -> String {
    let share =
        |bytes: u64| format!("{:.0} %", 100.0 * bytes as f64 / diagnosis.service.rss_bytes.max(1) as f64);
    let first = diagnosis.findings.first();
    let bytes = first.map_or(0, |finding| finding.bytes);
    let speed = first.and_then(|finding| finding.bytes_per_second).map_or_else(String::new, rate);
    let watched = diagnosis.growth.as_ref().map(|growth| growth.duration.as_secs_f64());
    let sentence = match diagnosis.verdict {
        Kind::Steady => match watched {
            Some(seconds) => format!("Little is kept, and nothing grew in {seconds:.0} s."),
            None => "Little is kept. Whether it grows, time must tell: add --for 60s.".to_owned(),
        },
        Kind::Retention => format!(
            "{} of RSS is memory the program freed and {} kept. This is not a leak.",
            share(bytes),
            keeper(diagnosis)
        ),
        Kind::Pinned => format!(
            "{} of RSS is memory the program freed and its allocator cannot hand back. \
             This is not a leak, and a trim does not help.",
            share(bytes)
        ),
        Kind::PythonGrowth => {
            format!("Live Python objects grow by {speed} per second. This is a leak, or a cache.")
        }
        Kind::NativeGrowth => {
            format!("Live memory of native code grows by {speed} per second. This is a leak, or a cache.")
        }
        Kind::HeapGrowth => format!(
            "Live memory grows by {speed} per second. This is a leak, or a cache; the allocator is not to blame."
        ),
        Kind::MappedGrowth => format!("Mapped memory outside the heap grows by {speed} per second."),
        Kind::StackGrowth => format!("Thread stacks grow by {speed} per second: threads pile up."),
        Kind::Undetermined => "The facts do not decide; the gaps below say what is missing.".to_owned(),
    };
    let word = diagnosis.verdict.key();
    let colored = match diagnosis.verdict {
        Kind::Steady => style.good(word),
        Kind::Retention | Kind::Pinned | Kind::Undetermined => style.warning(word),
        _ => style.error(word),
    };
    let line = wrapped(&format!("verdict: {word}. {sentence}"), 2);
    format!("{}\n", line.replacen(word, &colored, 1))
}

/// The allocator that keeps most slack, as the sentence names it.
fn keeper(diagnosis: &Diagnosis) -> &'static str {
    let glibc = diagnosis
        .processes
        .iter()
        .flat_map(|process| &process.heaps)
        .any(|report| matches!(report.heap.allocator, Allocator::Glibc { .. }));
    if glibc { "glibc" } else { "its allocator" }
}

/// The advice of the verdict.
fn remedies(findings: &[Finding], style: Style) -> String {
    let lines: Vec<&Advice> = findings.iter().take(1).flat_map(|finding| &finding.advice).collect();
    advice_lines(&lines, style)
}

fn advice_lines(lines: &[&Advice], style: Style) -> String {
    const LABEL: usize = 13;
    let widest = lines.iter().map(|advice| shown_width(&advice.command)).max().unwrap_or(0);
    let mut out = String::new();
    for advice in lines {
        let label = format!("{}:", advice.when.key());
        out.push_str(&format!("  {label:<width$}", width = LABEL - 2));
        if advice.command.is_empty() {
            out.push_str(&wrapped(&advice.effect, LABEL));
        } else if LABEL + widest + 2 + shown_width(&advice.effect) <= WIDTH {
            let padding = " ".repeat(widest - shown_width(&advice.command) + 2);
            out.push_str(&format!("{}{padding}{}", style.strong(&advice.command), advice.effect));
        } else {
            let effect = wrapped(&advice.effect, LABEL + 2);
            out.push_str(&format!("{}\n{}{effect}", style.strong(&advice.command), " ".repeat(LABEL + 2)));
        }
        out.push('\n');
    }
    out
}

/// The findings that are not the verdict.
fn besides(findings: &[Finding], style: Style, detail: Detail) -> String {
    let mut out = String::new();
    for (index, finding) in findings.iter().enumerate() {
        let of_verdict = index == 0;
        if of_verdict && detail == Detail::Brief {
            continue;
        }
        if finding.code == Code::Steady && !of_verdict {
            continue;
        }
        let pid = finding.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        let bytes = if finding.bytes > 0 { format!(", {}", Bytes(finding.bytes)) } else { String::new() };
        let text = format!("{} {}{pid}{bytes}", finding.code.key(), finding.code.title());
        let line = wrapped(&format!("{} {text}", if of_verdict { "found:" } else { "also:" }), 6);
        out.push_str(&line.replacen(finding.code.key(), &style.dim(finding.code.key()), 1));
        out.push('\n');
        if detail == Detail::Full {
            let evidence: Vec<String> = finding
                .evidence
                .iter()
                .map(|evidence| format!("{} {}", evidence.name.replace('_', " "), evidence.value))
                .chain([format!("confidence {:.2}: {}", finding.confidence.value, finding.confidence.why)])
                .collect();
            out.push_str(&labelled("", 4, &evidence));
        }
        if !of_verdict {
            let is_new =
                |advice: &&Advice| !findings[..index].iter().any(|said| said.advice.contains(advice));
            let most = if detail == Detail::Full { usize::MAX } else { 1 };
            let lines: Vec<&Advice> = finding.advice.iter().filter(is_new).take(most).collect();
            out.push_str(&advice_lines(&lines, style));
        }
    }
    out
}

fn missing(diagnosis: &Diagnosis, style: Style, detail: Detail) -> String {
    let of_processes = diagnosis.processes.iter().flat_map(|process| {
        process
            .gaps
            .iter()
            .map(move |gap| Gap::new(format!("pid {}: {}", process.pid, gap.subject), gap.cause.clone()))
    });
    let all: Vec<Gap> = diagnosis.gaps.iter().cloned().chain(of_processes).collect();
    let shown = if detail == Detail::Full { all.len() } else { GAPS_SHOWN.min(all.len()) };
    let mut out = String::new();
    for gap in &all[..shown] {
        let line = wrapped(&format!("gap: {}: {}", visible(&gap.subject), visible(&gap.cause)), 5);
        out.push_str(&format!("{}\n", style.dim(&line)));
    }
    if shown < all.len() {
        out.push_str(&style.dim(&format!("gap: and {} more; --verbose lists them", all.len() - shown)));
        out.push('\n');
    }
    out
}
