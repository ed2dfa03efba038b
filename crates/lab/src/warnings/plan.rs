//! What a plan lets expect before it runs.

use super::Kind;
use crate::plan::decay::decay;
use crate::plan::{Load, Plan};
use crate::result::Warning;
use crate::stats::FEWEST;

/// What is doubtful about `plan` before an hour is spent on it.
pub fn of_plan(plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let idle = plan.schedule.idle;
    let is_loaded = !matches!(plan.load, Load::Work);
    for arm in plan.arms.iter().filter(|arm| arm.is_null_of.is_none()) {
        if let Some(decay) = decay(arm, &plan.service).filter(|decay| is_loaded && *decay >= idle) {
            warnings.push(Kind::IdleTooShort.of(
                &arm.name,
                format!(
                    "its allocator gives back over {:.1} s, and the idle time is {:.1} s: what it keeps at the \
                     end is not what it keeps; set idle to \"{:.0}s\" or more",
                    decay.as_secs_f64(),
                    idle.as_secs_f64(),
                    (decay.as_secs_f64() * 1.2).ceil()
                ),
            ));
        }
    }
    let shared: Vec<String> = plan
        .service
        .cpus
        .iter()
        .filter(|cpu| plan.schedule.load_cpus.contains(cpu))
        .map(ToString::to_string)
        .collect();
    if !shared.is_empty() {
        warnings.push(Kind::SharedProcessors.said(format!(
            "service and generator share processor {}: latency is of both; give each its own under cpus and \
             load_cpus",
            shared.join(", ")
        )));
    }
    if plan.schedule.repetitions < FEWEST {
        warnings.push(Kind::FewRepetitions.said(format!(
            "{} without an interval: nothing can be called better or worse; set repetitions to 5",
            super::counted(plan.schedule.repetitions, "repetition")
        )));
    }
    warnings
}
