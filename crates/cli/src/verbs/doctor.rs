//! `slackwater doctor`.

use serde_json::json;
use slackwater_base::Pid;
use slackwater_procfs::Root;
use slackwater_remote::access::{self, Check, Outcome, Purpose};
use slackwater_report::{self as report, Style, visible};

use crate::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Says which rights, kernel features, interpreters and allocators slackwater sees for a process, which \
check fails, and the exact command that mends it.\n\n\
Every check is really tried, with a read that changes nothing. What works without a missing right \
still works: `diagnose` then says less, and says so.\n\n\
Examples:\n  \
  slackwater doctor --pid 4711\n  \
  slackwater doctor --pid 4711 --json";

/// Runs every check on one process.
///
/// # Errors
/// When there is no such process.
pub(crate) fn run(args: &DoctorArgs, printer: &Printer) -> Result<Exit, Failure> {
    let checks = access::checks(&Root::host(), args.pid);
    let text = if args.json {
        report::json::line(&document(args.pid, &checks))
    } else {
        table(args.pid, &checks, printer.style())
    };
    printer.data(&text)?;
    Ok(exit(&checks))
}

/// Done when everything is possible; else the gravest thing in the way.
fn exit(checks: &[Check]) -> Exit {
    let is_possible = |purpose| access::is_possible(checks, purpose);
    if Purpose::ALL.iter().all(|&purpose| is_possible(purpose)) {
        Exit::Done
    } else if !is_possible(Purpose::Classes) && checks.len() == 1 {
        Exit::Target
    } else {
        Exit::Denied
    }
}

fn table(pid: Pid, checks: &[Check], style: Style) -> String {
    let mut out = format!("process {pid}\n");
    for check in checks {
        let (mark, text) = match &check.outcome {
            Outcome::Pass { detail } => (style.good("ok  "), detail),
            Outcome::Note { detail } => (style.dim("note"), detail),
            Outcome::Fail { cause, .. } => (style.error("FAIL"), cause),
        };
        out.push_str(&format!(
            "  {mark}  {}\n",
            report::wrapped(&format!("{}: {}", check.name, visible(text)), 8)
        ));
        if let Outcome::Fail { fix, .. } = &check.outcome {
            out.push_str(&format!("        {}\n", report::wrapped(&format!("fix: {}", visible(fix)), 13)));
        }
    }
    out.push_str("what works\n");
    for &purpose in Purpose::ALL {
        let answer =
            if access::is_possible(checks, purpose) { style.good("yes") } else { style.error("no ") };
        out.push_str(&format!("  {answer}   {}: {}\n", purpose.verb(), purpose.title()));
    }
    out
}

fn document(pid: Pid, checks: &[Check]) -> serde_json::Value {
    let purposes = |purposes: &[Purpose]| purposes.iter().map(|purpose| purpose.key()).collect::<Vec<_>>();
    let check = |check: &Check| {
        let (outcome, detail, fix) = match &check.outcome {
            Outcome::Pass { detail } => ("pass", detail, None),
            Outcome::Note { detail } => ("note", detail, None),
            Outcome::Fail { cause, fix } => ("fail", cause, Some(fix)),
        };
        json!({
            "name": check.name,
            "outcome": outcome,
            "detail": detail,
            "fix": fix,
            "needed_for": purposes(check.needed_for),
        })
    };
    json!({
        "schema": 1,
        "pid": pid.0,
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
        "possible": Purpose::ALL
            .iter()
            .map(|&purpose| (purpose.key().to_owned(), access::is_possible(checks, purpose).into()))
            .collect::<serde_json::Map<_, _>>(),
    })
}
