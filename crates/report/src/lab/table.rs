//! An experiment for a person at a terminal: memory, cost, verdicts, doubts, and the arm to take.

use slackwater_lab::result::{Experiment, Measure, Surroundings, Verdict};

use super::arms::{Arm, Standing, arms, baseline, is_per_answer, n_rounds};
use super::headline::headline;
use super::words::{self, amount, count, ratio_and_interval, short};
use crate::columns::{labelled, table as columns};
use crate::{Style, visible, wrapped};

/// Void trials that are listed.
const VOIDS_SHOWN: usize = 5;
/// Characters of an arm's name in a row.
const NAME: usize = 20;

/// The whole experiment.
#[must_use]
pub fn table(experiment: &Experiment, style: Style) -> String {
    let all = arms(experiment);
    let mut out = heading(experiment, style);
    out.push_str(&surroundings(&experiment.surroundings));
    out.push('\n');
    let against = format!("AGAINST {}", short(baseline(experiment).unwrap_or("?"), 12));
    out.push_str(&memory(&all, n_rounds(experiment), &against));
    out.push('\n');
    out.push_str(&cost(&all, is_per_answer(experiment), &against));
    out.push_str(&legend(&all, style));
    out.push('\n');
    out.push_str(&verdicts(experiment, &all, style));
    out.push_str(&doubts(experiment, style));
    out.push_str(&choice(experiment, &all, style));
    out
}

fn heading(experiment: &Experiment, style: Style) -> String {
    let name = visible(&experiment.name);
    let n_rounds = n_rounds(experiment);
    let mut parts = vec![
        count(experiment.arms.len(), "arm", "arms"),
        format!(
            "{} of {}",
            count(experiment.trials.len(), "trial", "trials"),
            count(n_rounds, "round", "rounds")
        ),
    ];
    if !experiment.voids.is_empty() {
        parts.push(count(experiment.voids.len(), "void trial", "void trials"));
    }
    let head = format!("experiment {name}: {}; {}", parts.join(", "), words::model(experiment.model));
    let head = wrapped(&head, 2);
    format!("{}\n", head.replacen(&*name, &style.strong(&name), 1))
}

fn surroundings(machine: &Surroundings) -> String {
    labelled("machine", 9, &super::arms::surroundings(machine))
}

fn memory(all: &[Arm<'_>], n_rounds: usize, against: &str) -> String {
    let idle_names: Vec<String> = (1..=n_rounds).map(|round| format!("IDLE {round}")).collect();
    let mut header = vec!["MEMORY", "PEAK"];
    // The first and the last say whether rounds add up; those between would not fit.
    let shown: Vec<usize> = match n_rounds {
        0 => Vec::new(),
        1 => vec![0],
        _ => vec![0, n_rounds - 1],
    };
    header.extend(shown.iter().map(|&round| idle_names[round].as_str()));
    header.extend([against, "DIFFERENCE"]);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|arm| {
            let mut row = vec![short(arm.name(), NAME), value(arm, Measure::PeakRss)];
            row.extend(
                shown
                    .iter()
                    .map(|&round| arm.idle_rss_bytes(round).map_or_else(|| "-".to_owned(), words::bytes)),
            );
            row.extend(against_baseline(arm, Measure::IdleRss));
            row
        })
        .collect();
    columns(&header, &[0, header.len() - 2, header.len() - 1], &rows)
}

fn cost(all: &[Arm<'_>], per_answer: bool, against: &str) -> String {
    let cpu = if per_answer { "CPU/REQ" } else { "CPU" };
    let faults = if per_answer { "FAULTS/REQ" } else { "FAULTS" };
    let mut header = vec!["COST", cpu, against];
    let latency: Vec<(&str, Measure)> = [("P50", Measure::P50), ("P99", Measure::P99)]
        .into_iter()
        .filter(|(_, measure)| all.iter().any(|arm| arm.measure(*measure).is_some()))
        .collect();
    header.extend(latency.iter().map(|(title, _)| *title));
    header.push(faults);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|arm| {
            let [ratio, _] = against_baseline(arm, Measure::Cpu);
            let mut row = vec![short(arm.name(), NAME), value(arm, Measure::Cpu), ratio];
            row.extend(latency.iter().map(|(_, measure)| value(arm, *measure)));
            row.push(value(arm, Measure::MinorFaults));
            row
        })
        .collect();
    columns(&header, &[0, 2], &rows)
}

/// How the ratios were made, which nobody can see from them.
fn legend(all: &[Arm<'_>], style: Style) -> String {
    let has_null = all.iter().any(|arm| arm.standing == Standing::Null);
    let null = if has_null { " and its null arm together" } else { "" };
    let text = format!("ratios: mean over repetitions, to the baseline{null}, with 95 % intervals");
    format!("  {}\n", style.dim(&wrapped(&text, 2)))
}

fn value(arm: &Arm<'_>, measure: Measure) -> String {
    arm.measure(measure).map_or_else(|| "-".to_owned(), |compared| amount(measure, compared.median))
}

/// The ratio with its interval, and the word for it.
fn against_baseline(arm: &Arm<'_>, measure: Measure) -> [String; 2] {
    match arm.measure(measure) {
        Some(compared) => {
            [ratio_and_interval(compared), words::verdict_in_column(compared.verdict).to_owned()]
        }
        None => ["-".to_owned(), "not measured".to_owned()],
    }
}

/// What is said of every measure, arm by arm.
fn verdicts(experiment: &Experiment, all: &[Arm<'_>], style: Style) -> String {
    let mut out = String::new();
    for arm in all.iter().filter(|arm| arm.standing != Standing::Baseline) {
        let name = short(arm.name(), NAME);
        let groups = words::by_verdict(experiment, |measure| arm.measure(measure).copied());
        let of = |arm: &str| format!("{name}{arm}: ");
        let label = match &arm.run.is_null_of {
            Some(_) => of(" (null: should show nothing)"),
            None => of(""),
        };
        let said: Vec<String> = groups
            .iter()
            .map(|(verdict, items)| match verdict {
                Verdict::NoDifferenceSeen => format!("no difference seen in {}", items.join(", ")),
                Verdict::TooFew => format!("too few trials for {}", items.join(", ")),
                verdict => format!("{} in {}", words::verdict(*verdict), items.join(", ")),
            })
            .collect();
        let said = if said.is_empty() { "no trial of full value".to_owned() } else { said.join("; ") };
        let line = wrapped(&format!("{label}{said}"), 4);
        let line = match arm.standing {
            Standing::Null => style.dim(&line),
            _ => line.replacen(&name, &style.strong(&name), 1),
        };
        out.push_str(&format!("{line}\n"));
    }
    out
}

/// Warnings, void trials.
fn doubts(experiment: &Experiment, style: Style) -> String {
    let mut out = String::new();
    for warning in experiment.comparison.iter().flat_map(|comparison| &comparison.warnings) {
        let arm = warning.arm.as_ref().map_or_else(String::new, |arm| format!("{}: ", short(arm, NAME)));
        let line = wrapped(&format!("warning: {arm}{}", visible(&warning.message)), 2);
        out.push_str(&format!("{}\n", line.replacen("warning:", &style.warning("warning:"), 1)));
    }
    for void in experiment.voids.iter().take(VOIDS_SHOWN) {
        let text = format!(
            "void: {}, repetition {}: {}",
            short(&void.arm, NAME),
            void.repetition + 1,
            visible(&void.reason)
        );
        let line = wrapped(&text, 2);
        out.push_str(&format!("{}\n", line.replacen("void:", &style.warning("void:"), 1)));
    }
    if let Some(more) = experiment.voids.len().checked_sub(VOIDS_SHOWN).filter(|more| *more > 0) {
        out.push_str(&format!("void: and {more} more; the page has all of them\n"));
    }
    out
}

/// The recommended arm, why, and what to type for it.
fn choice(experiment: &Experiment, all: &[Arm<'_>], style: Style) -> String {
    let headline = headline(experiment);
    let mut out = format!("{}\n", style.strong(&wrapped(&headline.title, 0)));
    if !headline.details.is_empty() {
        out.push_str(&format!("  {}\n", wrapped(&headline.details, 2)));
    }
    let recommended = experiment.comparison.as_ref().and_then(|comparison| comparison.recommended.as_ref());
    let Some(recommended) = recommended else { return out };
    let objective = format!("objective: {}", visible(&recommended.objective));
    out.push_str(&format!("  {}\n", wrapped(&objective, 2)));
    for reason in &recommended.reasons {
        out.push_str(&format!("  - {}\n", wrapped(&visible(reason), 4)));
    }
    if let Some(arm) = all.iter().find(|arm| arm.standing == Standing::Recommended) {
        for line in super::lines::commands(arm.run) {
            // Not wrapped: it is there to be copied.
            out.push_str(&format!("  {}\n", style.good(&line)));
        }
    }
    out
}
