//! Live memory against RSS over time, one picture per arm on the same axes: whether memory that the
//! program freed went back.
//!
//! Time is counted from the first request of the first round. The typical trial is drawn bold, the
//! others thin behind it; live memory is known at the moments when it was read, which are the dots.

use slackwater_lab::result::{Point, Trial};

use super::arms::{Arm, Standing, peak_rss_bytes};
use super::axis::Axis;
use super::live::Live;
use super::svg::{Anchor, Svg};
use super::thinned::kept;
use super::words;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 286.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 164.0;
/// Stretches that a line is thinned to: one per unit of its width.
pub(super) const STRETCHES: usize = 240;
/// The same for the thin lines behind.
const STRETCHES_BEHIND: usize = 60;

/// How much of the time before the first request is drawn, against the time after it.
const MOST_BEFORE_LOAD: f64 = 0.15;

/// The axes that all arms share.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Frame {
    /// Nothing before it is drawn.
    first: f64,
    time: Axis,
    memory: Axis,
}

impl Frame {
    /// The axes that hold every trial; `None` when nothing was sampled.
    pub(super) fn of(arms: &[Arm<'_>]) -> Option<Self> {
        let (mut first, mut last, mut most) = (f64::INFINITY, f64::NEG_INFINITY, 0_u64);
        for trial in arms.iter().flat_map(Arm::trials) {
            let zero = zero(trial);
            for point in &trial.series {
                (first, last) = (first.min(point.at - zero), last.max(point.at - zero));
                most = most.max(point.rss_bytes);
            }
        }
        // A start that took long would leave no room for what was measured.
        let first = first.max(-MOST_BEFORE_LOAD * last.max(1.0));
        let axes = || (Axis::spanning(first, last), Axis::from_zero(most as f64));
        (first < last).then(axes).map(|(time, memory)| Self { first, time, memory })
    }

    /// Whether something before the first request is left out.
    pub(super) fn is_cut(&self, arms: &[Arm<'_>]) -> bool {
        let begins = |trial: &Trial| Some(trial.series.first()?.at - zero(trial));
        arms.iter().flat_map(Arm::trials).filter_map(begins).any(|at| at < self.first - 1e-9)
    }

    fn x(&self, seconds: f64) -> f64 {
        self.time.place(seconds, LEFT, RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        self.memory.place(bytes, BOTTOM, TOP)
    }
}

/// The moment that a trial's times are counted from: its first request.
pub(super) fn zero(trial: &Trial) -> f64 {
    trial.rounds.first().map_or(0.0, |round| round.load_from)
}

/// The picture of one arm.
pub(super) fn picture(arm: &Arm<'_>, frame: &Frame) -> String {
    let Some(typical) = arm.typical_trial() else {
        return String::new();
    };
    let known = Live::of(typical);
    let last_live = known.points().last().map(|(_, bytes)| bytes);
    let label = format!(
        "{}: RSS over time, peak {}{}",
        arm.name(),
        words::bytes(peak_rss_bytes(typical) as f64),
        last_live.map_or_else(String::new, |live| format!(", live {} at the end", words::bytes(live as f64))),
    );
    let mut svg = Svg::new(WIDTH, HEIGHT, &label);
    windows(&mut svg, typical, frame);
    grid(&mut svg, frame);
    for trial in arm.trials().filter(|trial| !std::ptr::eq(*trial, typical)) {
        svg.polyline("behind", &line(trial, frame, STRETCHES_BEHIND));
    }
    let bold = line(typical, frame, STRETCHES);
    let class = if arm.standing == Standing::Baseline { "rss base" } else { "rss" };
    svg.area("kept", &bold, BOTTOM);
    let live = live(&known, typical, frame);
    svg.area("held", &live, BOTTOM);
    svg.polyline(class, &bold);
    svg.polyline("live", &live);
    for &at in &live {
        svg.circle("live-dot", at, 2.0);
    }
    ends(&mut svg, typical, &bold, &live, &known);
    svg.finish()
}

/// The times under load, shaded.
fn windows(svg: &mut Svg, trial: &Trial, frame: &Frame) {
    let zero = zero(trial);
    for (index, round) in trial.rounds.iter().enumerate() {
        let (from, until) = (frame.x(round.load_from - zero), frame.x(round.load_until - zero));
        svg.rect("load", (from, TOP), (until - from, BOTTOM - TOP));
        let text = format!("load {}", index + 1);
        if until - from >= 30.0 {
            svg.text("note", (f64::midpoint(from, until), TOP - 4.0), Anchor::Middle, &text);
        }
    }
}

fn grid(svg: &mut Svg, frame: &Frame) {
    for &tick in frame.memory.ticks() {
        let y = frame.y(tick);
        svg.line(if tick == 0.0 { "axis" } else { "grid" }, (LEFT, y), (RIGHT, y));
        svg.text("tick", (LEFT - 5.0, y + 3.5), Anchor::End, &words::tick_bytes(tick));
    }
    for &tick in frame.time.ticks() {
        let x = frame.x(tick);
        svg.line("axis", (x, BOTTOM), (x, BOTTOM + 3.0));
        svg.text("tick", (x, BOTTOM + 14.0), Anchor::Middle, &words::tick_seconds(tick));
    }
}

fn line(trial: &Trial, frame: &Frame, n_stretches: usize) -> Vec<(f64, f64)> {
    let zero = zero(trial);
    let series: Vec<&Point> = trial.series.iter().filter(|point| point.at - zero >= frame.first).collect();
    let values: Vec<u64> = series.iter().map(|point| point.rss_bytes).collect();
    let drawn = kept(&values, n_stretches).into_iter().map(|index| series[index]);
    drawn.map(|point| (frame.x(point.at - zero), frame.y(point.rss_bytes as f64))).collect()
}

fn live(known: &Live<'_>, trial: &Trial, frame: &Frame) -> Vec<(f64, f64)> {
    let zero = zero(trial);
    let points = known.points().map(|(at, bytes)| (at - zero, bytes));
    points
        .filter(|(at, _)| *at >= frame.first)
        .map(|(at, bytes)| (frame.x(at), frame.y(bytes as f64)))
        .collect()
}

/// What the lines are, at their ends, with the last value of each.
fn ends(svg: &mut Svg, trial: &Trial, rss: &[(f64, f64)], live: &[(f64, f64)], known: &Live<'_>) {
    let (Some(rss_end), Some(point)) = (rss.last(), trial.series.last()) else { return };
    let x = RIGHT + 4.0;
    let mut y = rss_end.1 + 3.5;
    if let (Some(live_end), Some((_, bytes))) = (live.last(), known.points().last()) {
        let below = (live_end.1 + 3.5).min(BOTTOM + 3.5);
        y = y.min(below - 22.0);
        let word = if known.is_lower_bound() { "live ≥" } else { "live" };
        svg.text("end live-text", (x, below - 5.0), Anchor::Start, word);
        svg.text("end live-text", (x, below + 5.0), Anchor::Start, &words::bytes(bytes as f64));
        y = y.min(below - 16.0);
    }
    svg.text("end", (x, y - 5.0), Anchor::Start, "RSS");
    svg.text("end", (x, y + 5.0), Anchor::Start, &words::bytes(point.rss_bytes as f64));
}
