//! `slackwater lab check`.

use slackwater_lab::check::{self, State};
use slackwater_lab::plan::Limit;
use slackwater_lab::run::plan_of;

use super::report;
use super::run::folder_of;
use crate::args::LabCheckArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) const MANUAL: &str = "\
Holds a result against limits: those of the plan ([[limit]]), and those of --limit. What was not measured \
keeps no limit. Exit code 1 when one is crossed: a gate for CI.\n\n\
A limit is a measure, an arm (all but the null arms without one), and the most that its median may be, in \
its unit or as a ratio to the first arm: idle_rss:slackwater<=200MB, p99<=1.1x.\n\n\
Measures: peak_rss, idle_rss, idle_pss, cpu, p50, p99, throughput (there the least), minor_faults.\n\n\
Examples:\n  \
  slackwater lab check lab.lab\n  \
  slackwater lab check lab.toml --limit 'idle_rss:slackwater<=0.5x' --limit 'p99<=250ms'";

/// Checks a result.
///
/// # Errors
/// When there is no result, or nothing to hold it against.
pub(super) fn run(args: &LabCheckArgs, printer: &Printer) -> Result<Exit, Failure> {
    let result = match args.result.extension() {
        Some(extension) if extension == "toml" => folder_of(&args.result),
        _ => args.result.clone(),
    };
    let experiment = report::compared(&result)?;
    let plan = plan_of(&experiment).map_err(|error| {
        Failure::new(Exit::Usage, format!("the plan in {} does not hold", result.display())).caused_by(&error)
    })?;
    let mut limits: Vec<Limit> = plan.limits.clone();
    for text in &args.limits {
        let limit = check::parse_limit(text, &plan).map_err(|error| Failure::new(Exit::Usage, error))?;
        limits.push(limit);
    }
    if limits.is_empty() {
        let error = format!("neither {} nor the command line states a limit", result.display());
        return Err(Failure::new(Exit::Usage, error)
            .hint("add one: --limit 'idle_rss<=200MB', or [[limit]] in the plan"));
    }
    let Some(comparison) = &experiment.comparison else {
        return Err(Failure::new(Exit::Target, format!("nothing was measured yet in {}", result.display()))
            .hint("run the experiment first: slackwater lab run"));
    };
    let checked = check::check(&plan, &limits, comparison);
    for one in &checked {
        let word = match one.state {
            State::Kept => "ok  ",
            State::Crossed | State::NotMeasured => "FAIL",
        };
        printer.data(&format!("{word}  {}\n", slackwater_report::visible(&one.text)))?;
    }
    Ok(if check::passes(&checked) { Exit::Done } else { Exit::Threshold })
}
