//! `slackwater lab report`.

use std::fs;
use std::path::{Path, PathBuf};

use slackwater_lab::compare;
use slackwater_lab::result::Experiment;
use slackwater_lab::run::{FILE, plan_of, read};
use slackwater_report as report;

use super::run::refused;
use crate::args::LabReportArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Compares the arms of a result again, prints the table, and draws the page anew: report.html beside the \
result, one file that needs no network. An experiment that is not finished has a report too.\n\n\
With --json, prints the whole result, schema 1, with the comparison.\n\n\
Examples:\n  \
  slackwater lab report lab.lab\n  \
  slackwater lab report lab.lab -o /tmp/page.html\n  \
  slackwater lab report lab.lab --json        for programs";

/// What the page is called in the folder of its result.
const PAGE: &str = "report.html";

/// Reports on a result.
///
/// # Errors
/// When there is none that this version understands.
pub(super) fn run(args: &LabReportArgs, printer: &Printer) -> Result<Exit, Failure> {
    let experiment = compared(&args.result)?;
    if args.json {
        let document = serde_json::to_value(&experiment)
            .map_err(|error| Failure::new(Exit::Bug, "cannot write the result as JSON").caused_by(&error))?;
        printer.data(&report::json::line(&document))?;
    } else {
        printer.data(&report::lab::table(&experiment, printer.style()))?;
    }
    let page = args.output.clone().unwrap_or_else(|| page_beside(&args.result));
    draw(&experiment, &page)?;
    printer.note(&format!("page: {}", page.display()));
    Ok(Exit::Done)
}

/// A result, compared by this version.
pub(super) fn compared(result: &Path) -> Result<Experiment, Failure> {
    let mut experiment = read(result).map_err(|error| {
        // Whoever only reads has nothing to replace.
        Failure { hint: Some(format!("name the folder of a result, in which {FILE} is")), ..refused(&error) }
    })?;
    let plan = plan_of(&experiment).map_err(|error| {
        Failure::new(Exit::Usage, format!("the plan in {} does not hold", result.display())).caused_by(&error)
    })?;
    if !experiment.trials.is_empty() {
        experiment.comparison = Some(compare::of_experiment(&plan, &experiment));
    }
    Ok(experiment)
}

/// Draws the page of an experiment.
pub(super) fn draw(experiment: &Experiment, page: &Path) -> Result<(), Failure> {
    fs::write(page, report::lab::page(experiment)).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot write {}", page.display())).caused_by(&error)
    })
}

/// In the folder of a result, whether that is named or its file.
pub(super) fn page_beside(result: &Path) -> PathBuf {
    if result.is_dir() { result.join(PAGE) } else { result.with_file_name(PAGE) }
}
