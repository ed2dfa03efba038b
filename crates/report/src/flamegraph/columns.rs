//! Amounts and cells as columns: a third of what objects would take, and read at once.

use serde::Serialize;
use slackwater_profile::{Cell, Estimate, NEVER};

/// Estimates, one after the other.
#[derive(Serialize, Default)]
pub(super) struct Amounts {
    bytes: Vec<u64>,
    count: Vec<f64>,
    /// None where nothing is estimated, and all bytes are certain.
    variance: Option<Vec<f64>>,
    certain: Option<Vec<u64>>,
}

impl Amounts {
    pub(super) fn of<'a>(estimates: impl Iterator<Item = &'a Estimate> + Clone) -> Self {
        let is_exact = estimates.clone().all(Estimate::is_exact);
        Self {
            bytes: estimates.clone().map(|one| one.bytes.round() as u64).collect(),
            count: estimates.clone().map(|one| (one.count * 10.0).round() / 10.0).collect(),
            variance: (!is_exact).then(|| estimates.clone().map(|one| four_digits(one.variance())).collect()),
            certain: (!is_exact).then(|| estimates.map(|one| one.certain_bytes().round() as u64).collect()),
        }
    }
}

/// What was handed out in which slice.
#[derive(Serialize, Default)]
pub(super) struct HandedOut {
    part: Vec<u32>,
    born: Vec<u16>,
    amount: Amounts,
}

impl HandedOut {
    pub(super) fn of(cells: &[Cell], by: u32) -> Self {
        Self {
            part: cells.iter().map(|cell| cell.part).collect(),
            born: cells.iter().map(|cell| cell.born >> by).collect(),
            amount: Amounts::of(cells.iter().map(|cell| &cell.amount)),
        }
    }
}

/// What outlived the slice in which it came.
#[derive(Serialize, Default)]
pub(super) struct Survived {
    part: Vec<u32>,
    born: Vec<u16>,
    /// None of what was not given back.
    gone: Vec<Option<u16>>,
    amount: Amounts,
}

impl Survived {
    pub(super) fn of(cells: &[Cell], by: u32) -> Self {
        let cells: Vec<Cell> = cells
            .iter()
            .map(|&cell| Cell {
                born: cell.born >> by,
                gone: if cell.gone == NEVER { NEVER } else { cell.gone >> by },
                ..cell
            })
            .filter(|cell| cell.born != cell.gone)
            .collect();
        Self {
            part: cells.iter().map(|cell| cell.part).collect(),
            born: cells.iter().map(|cell| cell.born).collect(),
            gone: cells.iter().map(|cell| (cell.gone != NEVER).then_some(cell.gone)).collect(),
            amount: Amounts::of(cells.iter().map(|cell| &cell.amount)),
        }
    }
}

/// A variance is known far less closely than that.
fn four_digits(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(value.log10().floor() - 3.0);
    (value / unit).round() * unit
}
