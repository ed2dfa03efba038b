//! What a diagnosis comes down to, in words: the verdict's sentence, what to type, what else was
//! found, and what could not be learnt.

use slackwater_base::{Bytes, Gap};
use slackwater_diagnose::{Advice, Code, Diagnosis, Finding, Kind};
use slackwater_heap::Allocator;

use crate::columns::{WIDTH, labelled, shown_width, wrapped};
use crate::table::rate;
use crate::{Detail, Style, visible};

/// Gaps that are listed without being asked for.
const GAPS_SHOWN: usize = 3;

/// The verdict, its advice, the other findings, the gaps.
pub(crate) fn conclusion(diagnosis: &Diagnosis, style: Style, detail: Detail) -> String {
    let mut out = sentence(diagnosis, style);
    let first: Vec<&Advice> = diagnosis.findings.iter().take(1).flat_map(|finding| &finding.advice).collect();
    out.push_str(&advice_lines(&first, style));
    out.push_str(&besides(&diagnosis.findings, style, detail));
    out.push_str(&missing(diagnosis, style, detail));
    out
}

fn sentence(diagnosis: &Diagnosis, style: Style) -> String {
    let share =
        |bytes: u64| format!("{:.0} %", 100.0 * bytes as f64 / diagnosis.service.rss_bytes.max(1) as f64);
    let first = diagnosis.findings.first();
    let bytes = first.map_or(0, |finding| finding.bytes);
    let speed = first.and_then(|finding| finding.bytes_per_second).map_or_else(String::new, rate);
    let watched = diagnosis.growth.as_ref().map(|growth| growth.duration.as_secs_f64());
    let words = match diagnosis.verdict {
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
    let line = wrapped(&format!("verdict: {word}. {words}"), 2);
    format!("{}\n", line.replacen(word, &colored, 1))
}

/// The allocator that keeps most slack, as the sentence names it.
fn keeper(diagnosis: &Diagnosis) -> &'static str {
    let slack = |wanted: fn(&Allocator) -> bool| -> u64 {
        let heaps = diagnosis.processes.iter().flat_map(|process| &process.heaps).map(|report| &report.heap);
        heaps.filter(|heap| wanted(&heap.allocator)).map(|heap| heap.ledger.slack().process).sum()
    };
    let glibc = slack(|allocator| matches!(allocator, Allocator::Glibc { .. }));
    let others = slack(|allocator| !matches!(allocator, Allocator::Glibc { .. }));
    if glibc > others { "glibc" } else { "its allocator" }
}

fn advice_lines(lines: &[&Advice], style: Style) -> String {
    // As wide as the longest of the labels, `look closer:`, with room around it.
    const LABEL: usize = 15;
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
