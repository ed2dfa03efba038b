//! Latency by quantile, from the whole histograms: all trials and rounds of an arm together.
//!
//! Invariant: a histogram that cannot be read is said to be missing; an arm's line ends where fewer than
//! ten answers are left beyond it, and its slowest answer is told in words.

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use super::arms::Arm;
use super::axis::Axis;
use super::places::stacked;
use super::svg::{Anchor, Svg};
use super::words::{self, short};

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 800.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 330.0;
/// Answers that have to lie beyond a quantile for it to be drawn.
const ANSWERS_BEYOND: f64 = 10.0;
/// The longest histogram in base64 that is read: far more than three digits up to an hour need.
const MOST_BYTES: usize = 4 << 20;

/// Latencies of one arm.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// All answers of all trials and rounds.
    histogram: Histogram<u64>,
    /// Rounds whose histogram could not be read.
    n_unread: usize,
}

impl Tail {
    /// `None` where no round has a histogram that can be read.
    pub(super) fn of(arm: &Arm<'_>) -> Option<Self> {
        let mut tail: Option<Self> = None;
        let mut n_unread = 0;
        let rounds = arm.trials().flat_map(|trial| &trial.rounds);
        for answers in rounds.filter_map(|round| round.load.as_ref()) {
            match (read(&answers.latency_us_hdr), &mut tail) {
                (None, _) => n_unread += 1,
                (Some(histogram), None) => tail = Some(Self { histogram, n_unread: 0 }),
                (Some(histogram), Some(tail)) => {
                    if tail.histogram.add(&histogram).is_err() {
                        n_unread += 1;
                    }
                }
            }
        }
        tail.filter(|tail| !tail.histogram.is_empty()).map(|tail| Self { n_unread, ..tail })
    }

    /// Seconds that this share of the answers took at the most.
    fn at(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Nines that can be told: 2 for 99 of 100.
    fn nines(&self) -> f64 {
        (self.histogram.len() as f64 / ANSWERS_BEYOND).log10().clamp(0.5, 6.0)
    }

    /// What a reader has to know beside the line.
    pub(super) fn note(&self, name: &str) -> Option<String> {
        (self.n_unread > 0).then(|| {
            let rounds = words::count(self.n_unread, "round", "rounds");
            format!("{}: the histogram of {rounds} could not be read and is missing", short(name, 40))
        })
    }
}

fn read(text: &str) -> Option<Histogram<u64>> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    // Sums of other histograms have to fit.
    let mut widest = Histogram::new_with_bounds(1, histogram.high().max(2), histogram.sigfig()).ok()?;
    widest.auto(true);
    widest.add(histogram).ok()?;
    Some(widest)
}

/// The picture of all arms; `None` where there is nothing to draw.
pub(super) fn picture(tails: &[(Arm<'_>, Tail)]) -> Option<String> {
    let most_nines = tails.iter().map(|(_, tail)| tail.nines()).reduce(f64::max)?;
    let lowest = tails.iter().map(|(_, tail)| tail.at(0.01)).reduce(f64::min)?;
    let highest = tails.iter().map(|(_, tail)| tail.at(quantile(tail.nines()))).reduce(f64::max)?;
    let y_axis = Axis::logarithmic(lowest.max(1e-6), highest);
    let x = |nines: f64| LEFT + nines / most_nines * (RIGHT - LEFT);
    let y = |seconds: f64| y_axis.place(seconds, BOTTOM, TOP);

    let mut svg = Svg::new(WIDTH, HEIGHT, "latency by quantile, arm by arm; the table below has p50 and p99");
    for &tick in y_axis.ticks() {
        svg.line("grid", (LEFT, y(tick)), (RIGHT, y(tick)));
        svg.text("tick", (LEFT - 6.0, y(tick) + 3.5), Anchor::End, &words::tick_latency(tick));
    }
    for (share, text) in MARKED {
        let nines = -(1.0_f64 - share).log10();
        if nines <= most_nines + 1e-9 {
            svg.line("grid", (x(nines), TOP), (x(nines), BOTTOM));
            svg.text("tick", (x(nines), BOTTOM + 15.0), Anchor::Middle, text);
        }
    }
    svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    svg.text(
        "axis-name",
        (RIGHT, BOTTOM + 34.0),
        Anchor::End,
        "share of answers that were as fast or faster",
    );
    svg.text("axis-name", (8.0, TOP - 10.0), Anchor::Start, "latency, by factors");

    let mut ends = Vec::with_capacity(tails.len());
    for (arm, tail) in tails {
        let n_steps = 60;
        let points: Vec<(f64, f64)> = (0..=n_steps)
            .map(|step| tail.nines() * f64::from(step) / f64::from(n_steps))
            .map(|nines| (x(nines), y(tail.at(quantile(nines)))))
            .collect();
        ends.push(points.last().copied().unwrap_or((RIGHT, BOTTOM)));
        let title = format!(
            "{}: {} answers, half within {}, slowest {}",
            arm.name(),
            tail.histogram.len(),
            words::seconds(tail.at(0.5)),
            words::seconds(tail.histogram.max() as f64 / 1e6)
        );
        svg.group(&arm.class(), &title, |svg| svg.polyline("tail", &points));
    }
    let wanted: Vec<f64> = ends.iter().map(|(_, y)| *y).collect();
    for (((arm, _), end), height) in tails.iter().zip(&ends).zip(stacked(&wanted, 13.0, TOP, BOTTOM)) {
        let class = arm.class();
        svg.line("leader", *end, (RIGHT + 16.0, height));
        svg.text(
            &format!("name {class}"),
            (RIGHT + 20.0, height + 3.5),
            Anchor::Start,
            &short(arm.name(), 24),
        );
    }
    Some(svg.finish())
}

/// Shares that are marked on the axis.
const MARKED: [(f64, &str); 9] = [
    (0.0, "0"),
    (0.5, "50 %"),
    (0.75, "75 %"),
    (0.9, "90 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];

/// The share of answers with so many nines: 0.99 for 2.
fn quantile(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}
