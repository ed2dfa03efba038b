//! `slackwater trim`.

use std::time::Instant;

use slackwater_diagnose::{MallocKind, ProcessReport, Role, Scope, Service};
use slackwater_heap::jemalloc::{GovernorState, Snapshot, find_block};
use slackwater_heap::{Allocator, ArenaKind, Top};
use slackwater_inject::recipe::{self, Recipe};
use slackwater_inject::{InjectError, Mailbox, Options, Reply, Target};
use slackwater_procfs::{ProcError, Process, Root};
use slackwater_remote::Live;
use slackwater_report as report;
use slackwater_report::trim::{Outcome, Row, Way};

use super::look::{self, look};
use crate::args::TrimArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Gives back, in every process of a service, the memory that its program freed and its allocator \
keeps. Says before how much that will be, and after how much it was.\n\n\
This verb enters the service: in each process one thread that is found in a safe place (waiting in a \
system call, with no frame of malloc, of the loader or of fork on its stack) makes one call of \
malloc_trim(0), or of the purge of jemalloc, mimalloc or tcmalloc, and goes on where it was, as if it \
had handled a signal. Other threads keep running. Nothing is installed, no code is changed, and if \
slackwater is killed in between the thread still comes back by itself. Where no safe place is found \
before the deadline, the process is left untouched and the report says so. Slackwater's own allocator \
is not entered: its governor watches a word for requests, and that word is all that is written; only \
where it is switched off, or does not answer before the deadline, a thread is entered as above. Helpers of another kind \
that the service has started are not entered.\n\n\
Trimming is a symptom's cure: the memory comes back with the next burst. The report of `diagnose` says \
what helps for good.\n\n\
Examples:\n  \
  slackwater trim --name gunicorn --dry-run   how much would it be?\n  \
  slackwater trim --name gunicorn             give it back\n  \
  slackwater trim --pid 4711 --deep           the ends of arenas too\n  \
  slackwater trim --all --every 60s           until interrupted";

/// Trims every service that the arguments name, once or again and again.
///
/// # Errors
/// When none can be looked at.
pub(crate) fn run(args: &TrimArgs, printer: &Printer) -> Result<Exit, Failure> {
    let root = Root::host();
    let Some(pause) = args.every else {
        return round(&root, args, printer);
    };
    let interrupted = super::interruptible()?;
    let mut exit = round(&root, args, printer)?;
    while super::paused_until(Instant::now() + pause, &interrupted, || ()) {
        // A service that restarts is not there for a moment; the next round finds it again.
        match round(&root, args, printer) {
            Ok(outcome) => exit = outcome,
            Err(failure) => printer.warn(&failure.error),
        }
    }
    Ok(exit)
}

fn round(root: &Root, args: &TrimArgs, printer: &Printer) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let services = look::services(root, &args.target)?;
    for service in &services {
        match one(root, service, args, printer) {
            Ok(outcome) => exit = exit.max(outcome),
            Err(failure) if services.len() > 1 => {
                printer.warn(&format!("{}: {}", service.name, failure.error));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(exit)
}

fn one(root: &Root, service: &Service, args: &TrimArgs, printer: &Printer) -> Result<Exit, Failure> {
    let look = look(root, service)?;
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    // Helpers are looked at with the service, but it is not they whom the user asked to be entered.
    let is_meant = |process: &&ProcessReport| process.role != Role::Other || args.target.only;
    for process in look.processes.iter().filter(is_meant) {
        let (row, failure) = trim(root, process, args);
        if args.json {
            printer.data(&report::json::line(&report::trim::json(&row)))?;
        }
        if let Some(failure) = failure {
            printer.failure(&failure);
            exit = exit.max(failure.exit);
        }
        rows.push(row);
    }
    let is_quiet_round = args.every.is_some() && rows.iter().all(|row| row.outcome == Outcome::Below);
    if !args.json && !is_quiet_round {
        printer.data(&report::trim::table(&service.name, &rows, printer.style()))?;
    }
    Ok(exit)
}

/// Trims one process: what came of it, and why it was not trimmed when it should have been.
fn trim(root: &Root, report: &ProcessReport, args: &TrimArgs) -> (Row, Option<Failure>) {
    let plan = Plan::of(report, args.deep);
    let mut row = Row {
        pid: report.pid,
        role: report.role.key(),
        allocator: report.malloc.kind.key(),
        rss_before_bytes: report.rss_bytes,
        predicted_bytes: plan.predicted_bytes,
        released_bytes: None,
        rss_after_bytes: None,
        way: None,
        stopped: None,
        ran: None,
        outcome: Outcome::Below,
        reason: None,
    };
    if plan.predicted_bytes.is_some_and(|bytes| bytes < args.above.0) {
        return (row, None);
    }
    if args.dry_run {
        row.outcome = if plan.recipe.is_some() { Outcome::DryRun } else { Outcome::Untouched };
        return (row, None);
    }
    match enter(root, report, &plan, args, &mut row) {
        Ok(()) => (row, None),
        Err(failure) => {
            // Where only the second step was not made, the first one was.
            if row.released_bytes.is_none() {
                row.outcome = Outcome::Untouched;
            }
            row.reason = Some(failure.error.clone());
            (row, Some(failure))
        }
    }
}

/// What is to be asked of a process, and what that should give.
struct Plan {
    recipe: Option<Recipe>,
    tops: Vec<Top>,
    /// `None` where the allocator's books cannot be read.
    predicted_bytes: Option<u64>,
}

impl Plan {
    fn of(report: &ProcessReport, deep: bool) -> Self {
        let recipe = match report.malloc.kind {
            MallocKind::Glibc => Some(recipe::GLIBC_TRIM),
            MallocKind::Jemalloc | MallocKind::Slackwater => Some(recipe::JEMALLOC_PURGE),
            MallocKind::Mimalloc => Some(recipe::MIMALLOC_COLLECT),
            MallocKind::Tcmalloc => Some(recipe::TCMALLOC_RELEASE),
            MallocKind::Musl | MallocKind::Unknown => None,
        };
        let tops: Vec<Top> = if deep { secondary_tops(report).collect() } else { Vec::new() };
        let is_known = report.scope == Scope::Heaps
            && match report.malloc.kind {
                MallocKind::Glibc => true,
                MallocKind::Slackwater => report
                    .heaps
                    .iter()
                    .any(|heap| matches!(heap.heap.allocator, Allocator::Slackwater { .. })),
                _ => false,
            };
        let of_tops: u64 = tops.iter().map(|top| top.returnable.process).sum();
        let predicted_bytes = is_known.then(|| report.trimmable_bytes() + of_tops);
        Self { recipe, tops, predicted_bytes }
    }
}

fn secondary_tops(report: &ProcessReport) -> impl Iterator<Item = Top> {
    let arenas = report.heaps.iter().flat_map(|heap| &heap.heap.arenas);
    let secondary = arenas.filter(|arena| arena.kind == ArenaKind::Secondary);
    secondary.filter_map(|arena| arena.glibc?.top).filter(|top| top.returnable.process > 0)
}

fn enter(
    root: &Root,
    report: &ProcessReport,
    plan: &Plan,
    args: &TrimArgs,
    row: &mut Row,
) -> Result<(), Failure> {
    let process = root.process(report.pid).map_err(|error| look::refused(&error))?;
    if process.start_ticks() != report.start_ticks {
        return Err(look::refused(&ProcError::Gone { pid: report.pid }));
    }
    let unsupported = || {
        Failure::new(
            Exit::Target,
            format!("process {} uses {}, which cannot be asked", report.pid, report.malloc),
        )
        .hint("`slackwater diagnose` says what else helps")
    };
    // What is not permitted is said before what is not known for want of permission.
    let target = Target::open(&process).map_err(|error| refused(&error))?;
    if let Some(mailbox) = mailbox(root, report)
        && by_command(&target, mailbox, args, row)?
    {
        return Ok(());
    }
    let recipe = plan.recipe.ok_or_else(unsupported)?;
    let call = recipe.resolve(&target).map_err(|error| refused(&error))?.ok_or_else(unsupported)?;
    let options = Options { search: args.deadline, ..Options::default() };

    let before = rss(&process)?;
    let outcome = target.call(&call, &options).map_err(|error| refused(&error))?;
    let (mut stopped, mut ran, mut finished) = (outcome.stopped, outcome.ran, outcome.finished);
    let mut deeper = Ok(());
    if !plan.tops.is_empty() && finished {
        match recipe::release_tops(&target, &plan.tops.iter().map(entered).collect::<Vec<_>>(), &options) {
            Ok(Some(recipe::Released { outcome, .. })) => {
                stopped = stopped.max(outcome.stopped);
                ran += outcome.ran;
                finished = outcome.finished;
            }
            Ok(None) => {}
            Err(error) => deeper = Err(refused(&error)),
        }
    }
    let after = rss(&process)?;
    row.rss_before_bytes = before;
    row.rss_after_bytes = Some(after);
    row.released_bytes = Some(before.saturating_sub(after));
    row.way = Some(Way::Call);
    row.stopped = Some(stopped);
    row.ran = Some(ran);
    row.outcome = if finished { Outcome::Trimmed } else { Outcome::StillRunning };
    deeper
}

/// Where our own allocator is asked, if its governor is there to hear it.
fn mailbox(root: &Root, report: &ProcessReport) -> Option<Mailbox> {
    let governor = &report.slackwater.as_ref()?.governor;
    if matches!(governor.state, None | Some(GovernorState::Off | GovernorState::Dormant)) {
        return None;
    }
    let live = Live::open(root, report.pid).ok()?;
    let block = find_block(&live, &live)?;
    Some(Mailbox { command: Snapshot::COMMAND.of(block), served: Snapshot::SERVED.of(block) })
}

/// Asks by the command word: whether it was answered.
fn by_command(
    target: &Target<'_>,
    mailbox: Mailbox,
    args: &TrimArgs,
    row: &mut Row,
) -> Result<bool, Failure> {
    let before = rss(target.process())?;
    let Reply::Served(after) = target.post(mailbox, args.deadline).map_err(|error| refused(&error))? else {
        return Ok(false);
    };
    let rss_after = rss(target.process())?;
    row.rss_before_bytes = before;
    row.rss_after_bytes = Some(rss_after);
    row.released_bytes = Some(before.saturating_sub(rss_after));
    row.way = Some(Way::Command);
    row.ran = Some(after);
    row.outcome = Outcome::Trimmed;
    Ok(true)
}

/// The top as the entry wants it.
fn entered(top: &Top) -> recipe::Top {
    recipe::Top { lock: top.lock, field: top.field, range: top.range }
}

fn rss(process: &Process) -> Result<u64, Failure> {
    process.usage().map(|usage| usage.rss_bytes).map_err(|error| look::refused(&error))
}

fn refused(error: &InjectError) -> Failure {
    let exit = if matches!(error, InjectError::Denied { .. }) { Exit::Denied } else { Exit::Target };
    Failure::of(exit, error, error.hint())
}
