//! Whether what ran is what the plan asks for.

use std::collections::BTreeSet;

use slackwater_tune::{Choice, settings};

use super::{Kind, trials_of};
use crate::plan::{Arm, Plan};
use crate::result::{InForce, Trial, Warning};

pub(super) fn warnings(plan: &Plan, trials: &[Trial]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for arm in &plan.arms {
        let trials = trials_of(trials, &arm.name);
        let n_replaced: usize = trials.iter().map(|trial| trial.n_replaced).sum();
        if n_replaced > 0 {
            warnings.push(Kind::WorkersReplaced.of(
                &arm.name,
                format!(
                    "processes were replaced during its trials, {n_replaced} in all: each new one begins with a small \
                     heap; switch off --max-requests and reloading to compare allocators"
                ),
            ));
        }
        warnings.extend(in_force(arm, &trials));
    }
    warnings
}

/// What was asked for against what was seen. Helpers that run no Python are not asked.
fn in_force(arm: &Arm, trials: &[&Trial]) -> Vec<Warning> {
    let Some(asked) = &arm.allocator else { return Vec::new() };
    let Some(allocator) = Choice::of(asked.choice.as_ref()).ok().and_then(|choice| choice.allocator()) else {
        return Vec::new();
    };
    let serving = |process: &&InForce| process.role != "other";
    let all: Vec<&InForce> = trials.iter().flat_map(|trial| &trial.in_force).filter(serving).collect();
    if all.is_empty() && !trials.is_empty() {
        return vec![Kind::NotVerified.of(
            &arm.name,
            "what served its processes was not seen: the result says what was asked for; run as root, or as \
             the user of the service",
        )];
    }
    let others: BTreeSet<&str> = all
        .iter()
        .filter(|process| !process.allocator.starts_with(allocator.key()))
        .map(|process| process.allocator.as_str())
        .collect();
    let mut warnings = Vec::new();
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().collect();
        warnings.push(Kind::AllocatorNotInForce.of(
            &arm.name,
            format!(
                "it asks for {allocator}, but {} served some of its processes: numbers are not {allocator}'s; \
                 slackwater verify tells why",
                others.join(", ")
            ),
        ));
    }
    for one in &asked.settings {
        let Some((key, value)) = one.split_once('=') else { continue };
        let differs = |process: &&&InForce| {
            let seen = process.settings.get(key)?;
            let seen = settings::assign(allocator, key, seen).map_or_else(|_| seen.clone(), |one| one.value);
            (seen != value).then_some(seen)
        };
        if let Some(seen) = all.iter().find_map(|process| differs(&process)) {
            warnings.push(Kind::SettingNotInForce.of(
                &arm.name,
                format!(
                    "{key} is {seen} in a process, not {value} as asked for; slackwater verify tells who sets it"
                ),
            ));
        }
    }
    warnings
}
