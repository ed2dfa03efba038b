//! One HTML file: a headline, memory over time, the graph, and a table that needs no script.
//!
//! Invariant: every text of the recorded service goes through `visible` and then through the template's
//! escape or the data block's; the only script that may run is the one whose hash the page's policy names.

use askama::Template;
use slackwater_base::Gap;
use slackwater_profile::Profile;

use super::data::Data;
use crate::allocations::{
    self, Grouping, Measure, NO_PYTHON, before, between, bytes_of, doubts, extent, line,
};
use crate::embedded::in_script;
use crate::visible;

const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("../../assets/flamegraph/numbers.js"),
    include_str!("../../assets/flamegraph/amounts.js"),
    include_str!("../../assets/flamegraph/tree.js"),
    include_str!("../../assets/flamegraph/graph.js"),
    include_str!("../../assets/flamegraph/strip.js"),
    include_str!("../../assets/flamegraph/page.js"),
);
/// SHA-256 of the script, for the policy. A test holds it against the files.
const SCRIPT_HASH: &str = "rSFFk63EIFf+L9vye8lKgOTKJbEXQ0P0WpOKhM5p/h4=";
const STYLE: &str =
    concat!(include_str!("../../assets/shell.css"), include_str!("../../assets/flamegraph.css"));

/// Lines in the table that needs no script.
const ROWS: usize = 15;

#[derive(Template)]
#[template(path = "flamegraph.html")]
struct Page {
    name: String,
    slackwater: &'static str,
    headline: String,
    summary: Vec<String>,
    doubts: Vec<String>,
    measure: &'static str,
    rows: Vec<Row>,
    n_more: usize,
    span: String,
    has_endpoints: bool,
    data: String,
    script: &'static str,
    script_hash: &'static str,
    style: &'static str,
}

/// A line of code in the table.
struct Row {
    bytes: String,
    between: String,
    share: String,
    calls: String,
    place: String,
}

/// The page of a recording that was read with its times; `name` is the capture's, `measure` what the page
/// shows first.
#[must_use]
pub fn page(name: &str, profile: &Profile, gaps: &[Gap], measure: Measure) -> String {
    let all = allocations::rows(profile, measure, Grouping::default());
    let total = profile.total();
    let total = measure.of(&total);
    let rows = all.iter().take(ROWS).map(|row| {
        let estimate = measure.of(&row.usage);
        let innermost = profile.stacks.frames_from_python(row.stack).next();
        Row {
            bytes: bytes_of(estimate.bytes),
            between: between(estimate),
            share: format!("{:.1} %", 100.0 * estimate.bytes / total.bytes.max(1.0)),
            calls: format!("{:.0}", estimate.count),
            place: innermost.map_or_else(|| NO_PYTHON.to_owned(), line),
        }
    });
    let seconds = profile.span_ns.1.saturating_sub(profile.span_ns.0) as f64 / 1e9;
    let page = Page {
        name: visible(name).into_owned(),
        slackwater: env!("CARGO_PKG_VERSION"),
        headline: headline(profile),
        summary: extent(profile).split(", ").map(str::to_owned).collect(),
        doubts: before(profile).into_iter().chain(doubts(profile, gaps)).collect(),
        measure: measure.key(),
        rows: rows.collect(),
        n_more: all.len().saturating_sub(ROWS),
        span: format!("{seconds:.1} s"),
        has_endpoints: !profile.endpoints.all().is_empty(),
        data: in_script(&Data::of(profile)),
        script: SCRIPT,
        script_hash: SCRIPT_HASH,
        style: STYLE,
    };
    // Writing into a string fails only where a value cannot be shown, and these all can.
    page.render().unwrap_or_default()
}

/// What was held at most, and by whom most of it.
fn headline(profile: &Profile) -> String {
    let total = profile.total().peak;
    if total.bytes < 1.0 {
        return "Nothing was allocated while this was recorded".to_owned();
    }
    let mut headline = format!("{} live at the high-water mark", bytes_of(total.bytes));
    let rows = allocations::rows(profile, Measure::Peak, Grouping::default());
    if let Some(largest) = rows.first() {
        let share = 100.0 * largest.usage.peak.bytes / total.bytes;
        let innermost = profile.stacks.frames_from_python(largest.stack).next();
        if let Some(frame) = innermost.filter(|_| share >= 1.0) {
            headline.push_str(&format!(", {share:.0} % of it from {}", line(frame)));
        }
    }
    headline
}
