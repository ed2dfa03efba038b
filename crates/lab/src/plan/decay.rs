//! How long an arm's allocator takes to give back what is unused, as far as the plan tells.
//!
//! Invariant: a time that the plan does not decide is absent; nothing is measured here.

use std::time::Duration;

use slackwater_tune::presets::presets;
use slackwater_tune::{Allocator, Choice};

use super::{Arm, Service};

/// jemalloc's own, of dirty pages, since 5.0 (`opt.dirty_decay_ms` in jemalloc's manual); muzzy pages go
/// at once since 5.2.
const JEMALLOC: Duration = Duration::from_secs(10);

/// The arm that gives back last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decay {
    /// Its name.
    pub arm: String,
    /// After that long, unused pages have gone back.
    pub time: Duration,
}

/// The slowest of the arms, where any has a time at all.
pub fn longest_decay(arms: &[Arm], service: &Service) -> Option<Decay> {
    let of = |arm: &Arm| Some(Decay { arm: arm.name.clone(), time: decay(arm, service)? });
    arms.iter().filter_map(of).max_by_key(|decay| decay.time)
}

/// The time of one arm.
pub fn decay(arm: &Arm, service: &Service) -> Option<Duration> {
    match &arm.allocator {
        Some(told) => {
            let allocator = Choice::of(told.choice.as_ref()).ok()?.allocator()?;
            if allocator != Allocator::Jemalloc {
                // Ours gives back by looking, not by waiting; the others never while they idle.
                return None;
            }
            let set = |key: &str| {
                let assigned =
                    told.settings.iter().rev().find_map(|one| one.strip_prefix(key)?.strip_prefix('='));
                let preset = || presets(allocator).iter().find(|one| one.key == key).map(|one| one.value);
                assigned.or_else(|| if told.bare { None } else { preset() })
            };
            jemalloc(set)
        }
        None => {
            let variable = |name: &str| arm.environment.get(name).or_else(|| service.environment.get(name));
            let conf = variable("MALLOC_CONF").map_or("", String::as_str);
            if !variable("LD_PRELOAD").is_some_and(|list| list.contains("jemalloc")) {
                return None;
            }
            jemalloc(|key| conf.split(',').rev().find_map(|one| one.strip_prefix(key)?.strip_prefix(':')))
        }
    }
}

/// Dirty pages become muzzy, then clean: the times add up. One that is never (-1) says nothing.
fn jemalloc<'a>(set: impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let time = |key: &str, without: Duration| match set(key) {
        None => Some(without),
        Some(text) => text.parse().ok().map(Duration::from_millis),
    };
    Some(time("dirty_decay_ms", JEMALLOC)?.saturating_add(time("muzzy_decay_ms", Duration::ZERO)?))
}
