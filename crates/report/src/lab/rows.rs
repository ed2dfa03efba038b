//! The page's table: a row per arm, a column per measure, each cell with what it is sorted by.

use slackwater_lab::result::{Measure, Verdict};

use super::arms::{Arm, Standing};
use super::words::{self, amount, ratio_and_interval};
use crate::visible;

/// One arm.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) class: String,
    /// What it is to the others, where that has to be said.
    pub(super) standing: Option<&'static str>,
    pub(super) n_trials: String,
    pub(super) n_voids: usize,
    /// No other arm has less of everything.
    pub(super) on_front: bool,
    pub(super) cells: Vec<Cell>,
}

/// One figure.
pub(super) struct Cell {
    /// What rows are sorted by; empty sorts last.
    pub(super) key: String,
    pub(super) value: String,
    /// The ratio with its interval.
    pub(super) ratio: String,
    /// What is said of it, as a class and in words.
    pub(super) verdict: &'static str,
    pub(super) word: &'static str,
}

/// The columns that any arm has something in, and the rows.
pub(super) fn rows(
    all: &[Arm<'_>],
    measures: &[Measure],
    per_answer: bool,
    n_rounds: usize,
) -> (Vec<&'static str>, Vec<Row>) {
    let measured: Vec<Measure> = measures
        .iter()
        .copied()
        .filter(|measure| all.iter().any(|arm| arm.measure(*measure).is_some()))
        .collect();
    let has_first_idle = n_rounds > 1;
    let mut columns = Vec::new();
    for &measure in &measured {
        if measure == Measure::IdleRss && has_first_idle {
            columns.push("memory after round 1");
        }
        columns.push(match measure {
            Measure::IdleRss if has_first_idle => "memory after last round",
            measure => words::name(measure, per_answer),
        });
    }
    let rows = all.iter().map(|arm| row(arm, &measured, has_first_idle)).collect();
    (columns, rows)
}

fn row(arm: &Arm<'_>, measured: &[Measure], has_first_idle: bool) -> Row {
    let mut cells = Vec::new();
    for &measure in measured {
        if measure == Measure::IdleRss && has_first_idle {
            cells.push(first_idle(arm));
        }
        cells.push(cell(arm, measure));
    }
    Row {
        name: visible(arm.name()).into_owned(),
        class: arm.class(),
        standing: match arm.standing {
            Standing::Baseline => Some("baseline"),
            Standing::Recommended => Some("recommended"),
            Standing::Null => Some("null: the same again"),
            Standing::Other => None,
        },
        n_trials: arm.trials().count().to_string(),
        n_voids: arm.n_voids(),
        on_front: arm.compared.is_some_and(|compared| compared.on_front),
        cells,
    }
}

/// After the first round there is no ratio: it is there to see whether rounds add up.
fn first_idle(arm: &Arm<'_>) -> Cell {
    let bytes = arm.idle_rss_bytes(0);
    Cell {
        key: bytes.map_or_else(String::new, |bytes| format!("{bytes:.0}")),
        value: bytes.map_or_else(|| "–".to_owned(), words::bytes),
        ratio: String::new(),
        verdict: "",
        word: "",
    }
}

fn cell(arm: &Arm<'_>, measure: Measure) -> Cell {
    let Some(compared) = arm.measure(measure) else {
        return Cell {
            key: String::new(),
            value: "–".to_owned(),
            ratio: String::new(),
            verdict: "",
            word: "not measured",
        };
    };
    Cell {
        key: format!("{:e}", compared.median),
        value: amount(measure, compared.median),
        ratio: match compared.verdict {
            Verdict::Baseline => String::new(),
            _ => format!("× {}", ratio_and_interval(compared).replace(" to ", "–")),
        },
        verdict: match compared.verdict {
            Verdict::Baseline => "",
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceSeen | Verdict::TooFew => "none",
        },
        word: match compared.verdict {
            Verdict::Baseline => "",
            verdict => words::verdict(verdict),
        },
    }
}
