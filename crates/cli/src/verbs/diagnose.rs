//! `slackwater diagnose`.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use slackwater_base::Bytes;
use slackwater_diagnose::{Cgroup, Diagnosis, Series, Service, ServiceReport, conclude};
use slackwater_procfs::Root;
use slackwater_report as report;

use super::jemalloc;
use super::look::{self, Look, look};
use crate::args::DiagnoseArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Finds a service's processes, splits their resident memory (RSS) into classes that add up, and names \
the verdict and the remedy.\n\n\
It only reads: nothing is installed, injected, restarted, stopped or paused, and no page of the \
service is touched that was not resident already. With --enter, and only then, a jemalloc that is not \
ours is asked itself what it holds, in one thread at a safe place, as `trim` does it.\n\n\
Classes:\n  \
  live      bytes in blocks that the program still holds\n  \
  slack     bytes that it has freed and its allocator keeps: trimmable\n            \
            (handed back when asked) or pinned (not even then)\n  \
  other     files, shared memory, stacks, other anonymous maps,\n            \
            overhead, and what could not be explained, always shown\n\n\
Verdicts: steady, retention, pinned, python-growth, native-growth, heap-growth, mapped-growth, \
stack-growth, undetermined. Growth takes time to see: add --for 60s.\n\n\
Examples:\n  \
  slackwater diagnose --name gunicorn         the service of this name\n  \
  slackwater diagnose --pid 4711              the one it belongs to\n  \
  slackwater diagnose --pid 4711 --for 60s    does anything grow?\n  \
  slackwater diagnose --all --json            for programs";

/// How long to look for a safe moment in a process that is to be asked.
const ENTER_DEADLINE: Duration = Duration::from_secs(2);

/// Looks taken over the time watched, when nothing speaks against it.
const LOOKS: u32 = 40;
/// Looks without which growth cannot be told from noise, however long each of them takes.
const MIN_LOOKS: u32 = 12;
/// Shortest and longest pause between two looks.
const PAUSE: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);
/// A look may take up to one part in this many of the time: reading costs the host a processor.
const MAX_DUTY: u32 = 5;

/// Diagnoses every service that the arguments name.
///
/// # Errors
/// When none can be looked at; one of several that vanishes meanwhile is a warning.
pub(crate) fn run(args: &DiagnoseArgs, printer: &Printer) -> Result<Exit, Failure> {
    let root = Root::host();
    let services = look::services(&root, &args.target)?;
    // Set up once: an interruption ends the watch of this service and of those that follow.
    let watched = match args.watch {
        Some(duration) => Some((duration, super::interruptible()?)),
        None => None,
    };
    let mut exit = Exit::Done;
    let mut looked_at = 0;
    for service in &services {
        let looked = match &watched {
            Some((duration, interrupted)) => watch(&root, service, args, *duration, interrupted, printer)
                .map(|(look, series)| (look, Some(series))),
            None => look(&root, service).map(|look| (look, None)),
        };
        let (look, series) = match looked {
            Ok(looked) => looked,
            Err(failure) if services.len() > 1 => {
                printer.warn(&format!("{}: {}", service.name, failure.error));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if looked_at > 0 && !args.json {
            printer.data("\n")?;
        }
        looked_at += 1;
        exit = exit.max(one(&root, service, look, series.as_ref(), args, printer)?);
    }
    if looked_at == 0 {
        return Err(Failure::new(Exit::Target, "every service that was found has ended meanwhile"));
    }
    Ok(exit)
}

/// Judges and prints one service.
fn one(
    root: &Root,
    service: &Service,
    mut look: Look,
    series: Option<&Series>,
    args: &DiagnoseArgs,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let denied = look.denied;
    let entered = match args.enter {
        true => jemalloc::ask_all(root, &mut look.processes, ENTER_DEADLINE, printer),
        false => Exit::Done,
    };
    let cgroup = root.process(service.root().pid).ok().and_then(|process| Cgroup::of(&process, root));
    let diagnosis = conclude(service, look.processes, cgroup, look.sharing, series, look.gaps);
    let text = if args.json {
        report::json::line(&report::json::diagnosis(&diagnosis))
    } else {
        let detail = if args.verbose { report::Detail::Full } else { report::Detail::Brief };
        report::table::diagnosis(&diagnosis, printer.style(), detail)
    };
    printer.data(&text)?;
    if let Some(error) = denied {
        let mut failure = look::refused_remote(&error);
        failure.hint = Some(format!(
            "sudo slackwater diagnose ..., or see what is missing: slackwater doctor --pid {}",
            service.root().pid
        ));
        printer.failure(&failure);
        return Ok(Exit::Denied);
    }
    Ok(threshold(&diagnosis, args.fail_above, printer).max(entered))
}

fn threshold(diagnosis: &Diagnosis, limit: Option<Bytes>, printer: &Printer) -> Exit {
    let slack = diagnosis.service.ledger.slack().service;
    match limit {
        Some(limit) if slack > limit.0 => {
            printer.note(&format!("slack of {} is above the limit of {limit}", Bytes(slack)));
            Exit::Threshold
        }
        _ => Exit::Done,
    }
}

/// Looks again and again for `duration`, or until interrupted: the last look, and the series of all.
fn watch(
    root: &Root,
    service: &Service,
    args: &DiagnoseArgs,
    duration: Duration,
    interrupted: &AtomicBool,
    printer: &Printer,
) -> Result<(Look, Series), Failure> {
    let progress = progress(duration, printer);
    let mut series = Series::new();
    let start = Instant::now();
    let mut last = None;
    loop {
        let begun = start.elapsed();
        match look(root, &look::refreshed(root, service, &args.target)) {
            Ok(look) => {
                let report = ServiceReport::of(service, &look.processes, None, look.sharing);
                series.push(begun, &report, &look.processes);
                last = Some(look);
            }
            // It has ended while it was watched: what was seen before still counts.
            Err(failure) => match last.take() {
                Some(mut look) => {
                    look.gaps.push(slackwater_base::Gap::new(
                        "the end of the watch",
                        format!("{} after {:.0} s", failure.error, begun.as_secs_f64()),
                    ));
                    return Ok((look, series));
                }
                None => return Err(failure),
            },
        }
        let took = start.elapsed().saturating_sub(begun);
        let pause = (duration / LOOKS).max(took * MAX_DUTY).min(duration / MIN_LOOKS);
        let pause = pause.clamp(*PAUSE.start(), *PAUSE.end());
        let until = (begun + pause).min(duration);
        let show = || progress.set_position(start.elapsed().as_millis() as u64);
        if !super::paused_until(start + until, interrupted, show) || until >= duration {
            progress.finish_and_clear();
            let look = last.ok_or_else(|| Failure::new(Exit::Target, "interrupted before the first look"))?;
            return Ok((look, series));
        }
    }
}

fn progress(duration: Duration, printer: &Printer) -> ProgressBar {
    if !printer.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(duration.as_millis() as u64);
    // A template that does not parse is a bug that the first test run shows; the default still works.
    if let Ok(style) =
        ProgressStyle::with_template("watching {bar:40} {elapsed} (Ctrl-C judges what was seen)")
    {
        bar.set_style(style);
    }
    bar
}
