//! The page: one HTML file that asks nothing of any network, reads without script, and opens at once.
//!
//! Invariant: every text of the plan, the service or the machine goes through [`visible`] and then through
//! the template's escape, the picture's or the data block's; the only scripts that may run are the two whose
//! hashes the page's policy names.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use slackwater_lab::result::{Experiment, Measure};

use super::arms::{Arm, Standing, arms, baseline, is_per_answer, n_rounds, surroundings};
use super::headline::headline;
use super::lines::{self, Lines};
use super::live::Live;
use super::rows::{self, Row};
use super::series::{self, Series};
use super::{fronts, tails, tides, words};
use crate::visible;

/// The library that draws the chart that can be looked into.
const UPLOT: &str = include_str!("../../assets/uPlot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../assets/uPlot/uPlot.min.css");
const UPLOT_LICENCE: &str = include_str!("../../assets/uPlot/LICENSE");
const SCRIPT: &str = include_str!("../../assets/lab.js");
const STYLE: &str = concat!(include_str!("../../assets/shell.css"), include_str!("../../assets/lab.css"));
/// SHA-256 of the two scripts, for the policy. A test holds them against the files.
const UPLOT_HASH: &str = "GcjUxq2Ikpp59K5J1vcWFWbf0Lo9FcxJXpdPeH63jx8=";
const SCRIPT_HASH: &str = "iHeyVBXuRyX0nKYnRMlfBNSTACi1aGKXcjUwVDXEWP0=";

#[derive(Template)]
#[template(path = "lab.html")]
struct Page {
    name: String,
    headline: String,
    details: String,
    summary: Vec<String>,
    model: &'static str,
    objective: Option<String>,
    reasons: Vec<String>,
    warnings: Vec<Doubt>,
    voids: Vec<VoidTrial>,
    tides: Vec<Tide>,
    tides_note: String,
    fronts: Vec<String>,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    baseline: String,
    has_null: bool,
    tails: Option<String>,
    tail_notes: Vec<String>,
    chosen: Option<Chosen>,
    machine: Vec<String>,
    in_force: Vec<InForce>,
    plan: String,
    slackwater: String,
    series: Vec<Series>,
    series_note: String,
    uplot: &'static str,
    uplot_style: &'static str,
    uplot_licence: &'static str,
    uplot_hash: &'static str,
    script: &'static str,
    script_hash: &'static str,
    style: &'static str,
}

/// A warning.
struct Doubt {
    kind: String,
    arm: Option<String>,
    message: String,
}

/// A trial that says nothing.
struct VoidTrial {
    what: String,
    reason: String,
    log: String,
}

/// One arm's picture over time.
struct Tide {
    name: String,
    class: String,
    note: String,
    svg: String,
}

/// The arm to take.
struct Chosen {
    name: String,
    lines: Vec<Lines>,
}

/// What served one arm.
struct InForce {
    arm: String,
    command: String,
    processes: Vec<[String; 6]>,
}

/// The page of an experiment, finished or not.
#[must_use]
pub fn page(experiment: &Experiment) -> String {
    let all = arms(experiment);
    let headline = headline(experiment);
    let per_answer = is_per_answer(experiment);
    let comparison = experiment.comparison.as_ref();
    let recommended = comparison.and_then(|comparison| comparison.recommended.as_ref());
    let tails: Vec<_> = all.iter().filter_map(|arm| Some((*arm, tails::Tail::of(arm)?))).collect();
    let (columns, rows) = rows::rows(&all, &words::measures(experiment), per_answer, n_rounds(experiment));
    let frame = tides::Frame::of(&all);
    let stretches = series::stretches(experiment.trials.len());
    let page = Page {
        name: shown(&experiment.name),
        headline: headline.title,
        details: headline.details,
        summary: summary(experiment),
        model: words::model(experiment.model),
        objective: recommended.map(|one| shown(&one.objective)),
        reasons: recommended.iter().flat_map(|one| &one.reasons).map(|reason| shown(reason)).collect(),
        warnings: comparison
            .iter()
            .flat_map(|comparison| &comparison.warnings)
            .map(|warning| Doubt {
                kind: shown(&warning.kind),
                arm: warning.arm.as_deref().map(shown),
                message: shown(&warning.message),
            })
            .collect(),
        voids: voids(experiment),
        tides: pictures_over_time(&all, frame.as_ref()),
        tides_note: tides_note(experiment, frame.is_some_and(|frame| frame.is_cut(&all))),
        fronts: fronts_of(&all, &baseline_name(experiment), per_answer),
        columns,
        rows,
        baseline: baseline_name(experiment),
        has_null: all.iter().any(|arm| arm.standing == Standing::Null),
        tails: tails::picture(&tails),
        tail_notes: tails.iter().filter_map(|(arm, tail)| tail.note(arm.name())).collect(),
        // What one has already, nobody has to be told how to get.
        chosen: all
            .iter()
            .find(|arm| arm.standing == Standing::Recommended)
            .map(|arm| Chosen { name: shown(arm.name()), lines: lines::all(arm.run) }),
        machine: surroundings(&experiment.surroundings),
        in_force: all.iter().map(in_force).collect(),
        plan: lines_shown(&experiment.plan),
        slackwater: shown(&experiment.slackwater),
        series: series::series(&all, stretches),
        series_note: series::note(experiment, stretches),
        uplot: UPLOT,
        uplot_style: UPLOT_STYLE,
        uplot_licence: UPLOT_LICENCE,
        uplot_hash: UPLOT_HASH,
        script: SCRIPT,
        script_hash: SCRIPT_HASH,
        style: STYLE,
    };
    // Writing into a string fails only where a value cannot be shown, and these all can.
    page.render().unwrap_or_default()
}

fn shown(text: &str) -> String {
    visible(text).into_owned()
}

/// A text of several lines, each harmless.
fn lines_shown(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| shown(&line.replace('\t', "    "))).collect();
    lines.join("\n")
}

fn baseline_name(experiment: &Experiment) -> String {
    shown(baseline(experiment).unwrap_or("the first arm"))
}

/// How much of what was run.
fn summary(experiment: &Experiment) -> Vec<String> {
    let mut items = vec![
        words::count(experiment.arms.len(), "arm", "arms"),
        words::count(experiment.trials.len(), "trial", "trials"),
        words::count(n_rounds(experiment), "round each", "rounds each"),
    ];
    if !experiment.voids.is_empty() {
        items.push(words::count(experiment.voids.len(), "void trial", "void trials"));
    }
    items
}

fn voids(experiment: &Experiment) -> Vec<VoidTrial> {
    let void = |void: &slackwater_lab::result::Void| VoidTrial {
        what: format!("{}, repetition {}", shown(&void.arm), void.repetition + 1),
        reason: shown(&void.reason),
        log: lines_shown(&void.log.join("\n")),
    };
    experiment.voids.iter().map(void).collect()
}

fn pictures_over_time(all: &[Arm<'_>], frame: Option<&tides::Frame>) -> Vec<Tide> {
    let Some(frame) = frame else { return Vec::new() };
    let tide = |arm: &Arm<'_>| {
        let of = |measure| arm.measure(measure).map(words::ratio_and_interval);
        let mut note = match (arm.standing, of(Measure::IdleRss)) {
            (Standing::Baseline, _) => "the others are compared with it".to_owned(),
            (_, Some(ratio)) => format!("after load × {ratio}"),
            (_, None) => String::new(),
        };
        if let Some(more) = arm.typical_trial().and_then(|trial| Live::of(trial).note(trial)) {
            note.push_str("; ");
            note.push_str(&more);
        }
        Tide { name: shown(arm.name()), class: arm.class(), note, svg: tides::picture(arm, frame) }
    };
    all.iter().filter(|arm| arm.trials().next().is_some()).map(tide).collect()
}

/// What a reader has to know about how the pictures over time were drawn.
fn tides_note(experiment: &Experiment, is_cut: bool) -> String {
    let longest = experiment.trials.iter().map(|trial| trial.series.len()).max().unwrap_or(0);
    let mut note = "Bold: the trial whose peak is the median of its arm's; thin: the others.".to_owned();
    if longest > 2 * tides::STRETCHES {
        note.push_str(&format!(
            " Of up to {longest} samples a trial, the lowest and the highest of each of {} stretches are drawn.",
            tides::STRETCHES
        ));
    }
    if is_cut {
        note.push_str(" What came long before the first request is left out; the chart below has it.");
    }
    let has_live = experiment.trials.iter().any(|trial| Live::of(trial).points().next().is_some());
    note.push_str(if has_live {
        " Live memory was read at the dots; between them nothing is known."
    } else {
        " Live memory was not read."
    });
    note
}

fn fronts_of(all: &[Arm<'_>], baseline: &str, per_answer: bool) -> Vec<String> {
    [
        (Measure::IdleRss, Measure::Cpu),
        (Measure::IdleRss, Measure::P99),
        (Measure::PeakRss, Measure::Cpu),
        (Measure::PeakRss, Measure::P99),
    ]
    .into_iter()
    .filter_map(|(memory, cost)| fronts::picture(all, memory, cost, baseline, per_answer))
    .collect()
}

/// What an arm ran on, as verified while it ran.
fn in_force(arm: &Arm<'_>) -> InForce {
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "not known".to_owned(), shown);
    let processes = arm
        .in_force()
        .into_iter()
        .map(|alike| {
            [
                format!("{} × {}", shown(&alike.process.role), alike.n_processes),
                text(&alike.process.python),
                shown(&alike.process.allocator),
                text(&alike.process.objects),
                settings(&alike.settings),
                text(&alike.process.purging),
            ]
        })
        .collect();
    let command = lines::commands(arm.run).into_iter().next().unwrap_or_default();
    InForce { arm: shown(arm.name()), command, processes }
}

/// Settings with every value that was seen, or how many there were.
fn settings(settings: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let item = |(name, values): (&&str, &BTreeSet<&str>)| match values.len() {
        0..=3 => {
            let values: Vec<String> = values.iter().map(|value| shown(value)).collect();
            format!("{}={}", shown(name), values.join(" or "))
        }
        count => format!("{}=({count} values)", shown(name)),
    };
    let items: Vec<String> = settings.iter().map(item).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(" ") }
}
