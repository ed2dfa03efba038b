//! What memory costs: each arm's memory against its CPU or its p99, as ratios to the baseline with their
//! intervals as crosses, and the front of arms than which none measured had less of both.

use slackwater_lab::result::{Compared, Measure};

use super::arms::{Arm, Standing};
use super::axis::Axis;
use super::places::{Area, beside};
use super::svg::{Anchor, Svg};
use super::words::{self, has_interval, ratio_and_interval, short};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 340.0;
const FRAME: Area = Area { x: 52.0, y: 26.0, width: 412.0, height: 264.0 };
/// Characters of a name beside its mark.
const NAME: usize = 24;

/// One arm on one picture.
struct Mark<'a> {
    arm: Arm<'a>,
    memory: Compared,
    cost: Compared,
}

/// Memory by one measure against cost by another; `None` where fewer than two arms have both.
pub(super) fn picture(
    arms: &[Arm<'_>],
    memory: Measure,
    cost: Measure,
    baseline: &str,
    per_answer: bool,
) -> Option<String> {
    let marks: Vec<Mark<'_>> = arms
        .iter()
        .filter_map(|arm| Some(Mark { arm: *arm, memory: *arm.measure(memory)?, cost: *arm.measure(cost)? }))
        .filter(|mark| mark.memory.ratio.is_finite() && mark.cost.ratio.is_finite())
        .collect();
    if marks.len() < 2 {
        return None;
    }
    let ends = |compared: &Compared| {
        let [low, high] = interval(compared);
        [compared.ratio, low, high]
    };
    let x_axis = Axis::from_zero(marks.iter().flat_map(|mark| ends(&mark.memory)).fold(1.0, f64::max));
    let y_axis = Axis::around_one(marks.iter().flat_map(|mark| ends(&mark.cost)));
    let x = |value: f64| x_axis.place(value, FRAME.x, FRAME.x + FRAME.width);
    let y = |value: f64| y_axis.place(value, FRAME.y + FRAME.height, FRAME.y);

    let (memory_name, cost_name) = (words::name(memory, per_answer), words::name(cost, per_answer));
    let mut svg =
        Svg::new(WIDTH, HEIGHT, &format!("{memory_name} against {cost_name}, as ratios to {baseline}"));
    scales(&mut svg, &x_axis, &y_axis, &format!("{memory_name}, × {}", short(baseline, NAME)), cost_name);
    let corners: Vec<(f64, f64)> = front(&marks).iter().map(|&(memory, cost)| (x(memory), y(cost))).collect();
    svg.polyline("front", &stairs(&corners));
    for mark in &marks {
        let (at_x, at_y) = (x(mark.memory.ratio), y(mark.cost.ratio));
        let title = format!(
            "{}: {memory_name} {}, {cost_name} {}",
            mark.arm.name(),
            ratio_and_interval(&mark.memory),
            ratio_and_interval(&mark.cost)
        );
        svg.group(&mark.arm.class(), &title, |svg| {
            let [low, high] = interval(&mark.memory);
            svg.line("cross", (x(low), at_y), (x(high), at_y));
            let [low, high] = interval(&mark.cost);
            svg.line("cross", (at_x, y(low)), (at_x, y(high)));
            svg.circle(
                "mark",
                (at_x, at_y),
                if mark.arm.standing == Standing::Recommended { 5.5 } else { 4.0 },
            );
        });
    }
    // The recommended arm's name is placed first, then those of the others by rank.
    let mut named: Vec<&Mark<'_>> = marks.iter().collect();
    named.sort_by_key(|mark| match mark.arm.standing {
        Standing::Recommended => 0,
        Standing::Baseline => 1,
        Standing::Other => 2,
        Standing::Null => 3,
    });
    let texts: Vec<((f64, f64), String)> = named
        .iter()
        .map(|mark| ((x(mark.memory.ratio), y(mark.cost.ratio)), short(mark.arm.name(), NAME)))
        .collect();
    let frame = Area { width: WIDTH - FRAME.x, ..FRAME };
    for ((mark, place), (at, text)) in named.iter().zip(beside(&texts, frame, &[])).zip(&texts) {
        leader(&mut svg, *at, place);
        svg.text(&format!("name {}", mark.arm.class()), (place.x, place.y + 10.0), Anchor::Start, text);
    }
    Some(svg.finish())
}

fn interval(compared: &Compared) -> [f64; 2] {
    if has_interval(compared) { [compared.low, compared.high] } else { [compared.ratio; 2] }
}

fn scales(svg: &mut Svg, x_axis: &Axis, y_axis: &Axis, x_name: &str, y_name: &str) {
    let (right, bottom) = (FRAME.x + FRAME.width, FRAME.y + FRAME.height);
    for &tick in x_axis.ticks() {
        let x = x_axis.place(tick, FRAME.x, right);
        svg.line("grid", (x, FRAME.y), (x, bottom));
        svg.text("tick", (x, bottom + 15.0), Anchor::Middle, &words::plain(tick));
    }
    for &tick in y_axis.ticks() {
        let y = y_axis.place(tick, bottom, FRAME.y);
        svg.line("grid", (FRAME.x, y), (right, y));
        svg.text("tick", (FRAME.x - 6.0, y + 3.5), Anchor::End, &words::plain(tick));
    }
    svg.line("axis", (FRAME.x, bottom), (right, bottom));
    let (one_x, one_y) = (x_axis.place(1.0, FRAME.x, right), y_axis.place(1.0, bottom, FRAME.y));
    svg.line("one", (one_x, FRAME.y), (one_x, bottom));
    svg.line("one", (FRAME.x, one_y), (right, one_y));
    svg.text("axis-name", (right, bottom + 32.0), Anchor::End, x_name);
    svg.text("axis-name", (8.0, FRAME.y - 12.0), Anchor::Start, &format!("{y_name}, ×"));
    svg.text("note", (FRAME.x + 6.0, bottom - 6.0), Anchor::Start, "less of both: better");
}

/// A thin line to a name that had to be written farther away.
fn leader(svg: &mut Svg, (x, y): (f64, f64), place: Area) {
    let near_x = x.clamp(place.x, place.x + place.width);
    let near_y = y.clamp(place.y, place.y + place.height);
    if (near_x - x).hypot(near_y - y) > 12.0 {
        svg.line("leader", (x, y), (near_x, near_y));
    }
}

/// The arms that no other one undercuts in both, by memory. Null arms are none to choose.
fn front(marks: &[Mark<'_>]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = marks
        .iter()
        .filter(|mark| mark.arm.standing != Standing::Null)
        .map(|mark| (mark.memory.ratio, mark.cost.ratio))
        .collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let mut least = f64::INFINITY;
    points.retain(|&(_, cost)| {
        let is_less = cost < least;
        least = least.min(cost);
        is_less
    });
    points
}

/// A front as steps: what lies above and to the right of it is undercut.
fn stairs(corners: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut steps = Vec::new();
    if let Some(&(x, _)) = corners.first() {
        steps.push((x, FRAME.y));
    }
    for (index, &(x, y)) in corners.iter().enumerate() {
        if let Some((_, before)) = index.checked_sub(1).and_then(|before| corners.get(before)) {
            steps.push((x, *before));
        }
        steps.push((x, y));
    }
    if let Some(&(_, y)) = corners.last() {
        steps.push((FRAME.x + FRAME.width, y));
    }
    steps
}
