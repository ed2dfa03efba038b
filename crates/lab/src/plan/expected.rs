//! How long an experiment takes, before it began.

use std::time::Duration;

use super::{Load, Plan, Step};

/// What a start, the way to readiness and a stop take together, about.
pub(crate) const START_AND_STOP: Duration = Duration::from_secs(3);

/// About how long `plan` takes; `None` where a program that we do not know decides it.
pub fn expected(plan: &Plan) -> Option<Duration> {
    let trials = u32::try_from(plan.arms.len() * plan.schedule.repetitions).unwrap_or(u32::MAX);
    Some(trial(plan)?.saturating_mul(trials))
}

/// About how long one trial takes.
pub fn trial(plan: &Plan) -> Option<Duration> {
    let round = plan.load.duration()?.saturating_add(plan.schedule.idle);
    let rounds = round.saturating_mul(u32::try_from(plan.schedule.rounds).unwrap_or(u32::MAX));
    Some(START_AND_STOP.saturating_add(plan.schedule.warm_up).saturating_add(rounds))
}

impl Load {
    /// How long one round of it is, where the plan says so.
    pub fn duration(&self) -> Option<Duration> {
        match self {
            Self::Open { steps, .. } => Some(steps.iter().map(|step: &Step| step.duration).sum()),
            Self::Closed { duration, .. } => Some(*duration),
            Self::External { .. } | Self::Work => None,
        }
    }
}
