//! `slackwater verify`.

use slackwater_base::Gap;
use slackwater_diagnose::serving::{self, Serving};
use slackwater_diagnose::{MallocKind, Member, Role, Service};
use slackwater_procfs::{ProcError, Root};
use slackwater_remote::{Live, RemoteError};
use slackwater_report as report;
use slackwater_report::verify::Verified;
use slackwater_tune::hazards::Surroundings;

use super::{jemalloc, look, surroundings};
use crate::args::VerifyArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Says which malloc really serves each process of a service, which settings are in force there, and \
whether anything gives memory back in that very process while it is idle.\n\n\
What counts is evidence: the words through which the program and its libraries call malloc, the files \
they lead into, the threads that run, the allocator's own data. The environment only says what was \
asked for; where the two differ, the mistake is named with its proof and the exact fix. It knows wrong \
paths, other architectures, musl, static and set-user-id programs, a preload that a worker lost (env -i, \
sudo, process managers), settings that nobody reads, slips of the pen, jemalloc's background threads that \
ended at a fork, and more; docs/findings.md lists all.\n\n\
It only reads. With --enter, a foreign jemalloc is asked itself, by mallctl, in one thread that is found \
in a safe place, as `trim` does it.\n\n\
Exit code 1 when something is not as meant, or not served by what --expect names.\n\n\
Examples:\n  \
  slackwater verify --name gunicorn\n  \
  slackwater verify --name gunicorn --expect slackwater   in a deployment's checks\n  \
  slackwater verify --pid 4711 --enter                    ask jemalloc itself\n  \
  slackwater verify --all --json                          for programs";

/// Verifies every service that the arguments name.
///
/// # Errors
/// When none can be looked at; one of several that vanishes meanwhile is a warning.
pub(crate) fn run(args: &VerifyArgs, printer: &Printer) -> Result<Exit, Failure> {
    let root = Root::host();
    let surroundings = surroundings::read();
    let services = look::services(&root, &args.target)?;
    let mut exit = Exit::Done;
    let mut n_seen = 0;
    for service in &services {
        let (servings, entered) = match one(&root, service, args, &surroundings, printer) {
            Ok(seen) => seen,
            Err(failure) if services.len() > 1 => {
                printer.warn(&format!("{}: {}", service.name, failure.error));
                exit = exit.max(failure.exit);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if n_seen > 0 && !args.json {
            printer.data("\n")?;
        }
        n_seen += 1;
        let verified = Verified { service: &service.name, processes: &servings, expected: args.expect };
        let text = if args.json {
            report::json::line(&report::verify::json(&verified))
        } else {
            report::verify::table(&verified, printer.style())
        };
        printer.data(&text)?;
        exit = exit.max(entered).max(if verified.is_sound() { Exit::Done } else { Exit::Threshold });
    }
    Ok(exit)
}

/// Every process of one service. Its helpers of another kind are not what the user asks about.
fn one(
    root: &Root,
    service: &Service,
    args: &VerifyArgs,
    surroundings: &Surroundings,
    printer: &Printer,
) -> Result<(Vec<Serving>, Exit), Failure> {
    let is_meant = |member: &&Member| member.role != Role::Other || args.target.only;
    let mut servings = Vec::new();
    let mut ended = None;
    let mut exit = Exit::Done;
    for member in service.members.iter().filter(is_meant) {
        match process(root, member, surroundings) {
            Ok(mut serving) => {
                if args.enter {
                    exit = exit.max(enter(root, member, &mut serving, args, printer));
                }
                servings.push(serving);
            }
            Err(error) if error.is_denied() => {
                let mut failure = look::refused_remote(&error);
                failure.hint = Some(format!(
                    "sudo slackwater verify ..., or see what is missing: slackwater doctor --pid {}",
                    member.pid
                ));
                return Err(failure);
            }
            Err(error) => {
                printer.warn(&format!("process {}: {error}", member.pid));
                ended = Some(error);
            }
        }
    }
    match ended {
        Some(error) if servings.is_empty() => return Err(look::refused_remote(&error)),
        _ => serving::judge(&mut servings),
    }
    Ok((servings, exit))
}

/// Asks the jemalloc that serves a process, unless it is ours, which has said everything already.
fn enter(root: &Root, member: &Member, serving: &mut Serving, args: &VerifyArgs, printer: &Printer) -> Exit {
    let Some(library) = serving.server.library.clone().filter(|_| serving.is_served_by(MallocKind::Jemalloc))
    else {
        return Exit::Done;
    };
    match jemalloc::ask(root, member.pid, member.start_ticks, &library, args.deadline) {
        Ok(Some(answers)) => {
            serving.take_answers(answers);
            Exit::Done
        }
        Ok(None) => {
            serving.gaps.push(Gap::new("what jemalloc itself says", "it exports no mallctl"));
            Exit::Done
        }
        Err(failure) => {
            serving.gaps.push(Gap::new("what jemalloc itself says", failure.error.clone()));
            // It serves no requests: what it says matters little beside its workers' answers.
            if serving.role == Role::Master {
                return Exit::Done;
            }
            printer.failure(&failure);
            failure.exit
        }
    }
}

/// One process.
pub(super) fn process(
    root: &Root,
    member: &Member,
    surroundings: &Surroundings,
) -> Result<Serving, RemoteError> {
    let live = Live::open(root, member.pid)?;
    if live.process().start_ticks() != member.start_ticks {
        return Err(ProcError::Gone { pid: member.pid }.into());
    }
    let serving = serving::look(root, live.process(), member, &live, surroundings);
    // An exec in the middle is no exit: say which it was.
    serving.map_err(|error| live.end().unwrap_or_else(|| error.into()))
}
