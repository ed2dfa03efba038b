//! `[[limit]]`: what `lab check` holds the arms to.

use std::time::Duration;

use slackwater_tune::nearest;

use super::table::{Table, Value, shown};
use crate::measure::Unit;
use crate::plan::{Arm, Bound, Limit, Load, PlanError};
use crate::result::Measure;

const KEYS: &[&str] = &["measure", "arm", "at_most", "at_least", "ratio"];

pub(super) fn read(root: &Table, arms: &[Arm], load: &Load) -> Result<Vec<Limit>, PlanError> {
    let Some(list) = root.get("limit") else { return Ok(Vec::new()) };
    let items = list.list("one [[limit]] or more")?;
    items.iter().map(|item| limit(item, arms, load)).collect()
}

fn limit(item: &Value, arms: &[Arm], load: &Load) -> Result<Limit, PlanError> {
    let table = item.table(KEYS)?;
    let value = table.need("measure", "what is bounded, such as \"idle_rss\"")?;
    let measure = value.one_of(Measure::ALL, Measure::key)?;
    if measure.needs_answers() && !matches!(load, Load::Open { .. } | Load::Closed { .. }) {
        return Err(value.conflict(
            format!("{measure} is measured only where Slackwater sends the requests"),
            "choose a measure of memory or cpu, or the open or closed model",
        ));
    }
    let arm = match table.get("arm") {
        None => None,
        Some(value) => Some(arm(&value, arms)?),
    };
    Ok(Limit { arm, measure, bound: bound(item, &table, measure)? })
}

fn arm(value: &Value, arms: &[Arm]) -> Result<String, PlanError> {
    let typed = value.string("the name of an arm")?;
    let names = || arms.iter().map(|arm| arm.name.as_str());
    if names().any(|name| name == typed) {
        return Ok(typed.to_owned());
    }
    Err(value.conflict(
        format!("there is no arm '{}'", shown(typed)),
        match nearest(typed, names()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => format!("the arms are {}", names().collect::<Vec<_>>().join(", ")),
        },
    ))
}

fn bound(item: &Value, table: &Table, measure: Measure) -> Result<Bound, PlanError> {
    let (right, wrong) =
        if measure.higher_is_better() { ("at_least", "at_most") } else { ("at_most", "at_least") };
    if let Some(value) = table.get(wrong) {
        return Err(value.conflict(
            format!("{measure} is bounded by {right}, not by {wrong}"),
            format!("write {right} = ..."),
        ));
    }
    match (table.get(right), table.get("ratio")) {
        (Some(value), None) => absolute(&value, measure.unit()).map(Bound::Absolute),
        (None, Some(value)) => value.above_zero(1e6).map(Bound::Ratio),
        (Some(_), Some(value)) => {
            Err(value.conflict("this limit has two bounds", format!("leave out {right} or ratio")))
        }
        (None, None) => Err(PlanError::Missing {
            line: item.line,
            place: "this [[limit]]".to_owned(),
            key: right,
            accepted: "a bound such as \"200MB\" or \"40ms\"; or state ratio, that to the first arm",
        }),
    }
}

/// A bound in the measure's own unit.
fn absolute(value: &Value, unit: Unit) -> Result<f64, PlanError> {
    match unit {
        Unit::Bytes => value.bytes(1).map(|bytes| bytes as f64),
        Unit::Seconds => value.duration(Duration::from_nanos(1)).map(|time| time.as_secs_f64()),
        Unit::Number => value.above_zero(1e12),
    }
}
