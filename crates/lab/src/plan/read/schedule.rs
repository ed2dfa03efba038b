//! `[schedule]`: how often, how long, in which order.

use std::time::Duration;

use super::table::Table;
use crate::plan::decay::longest_decay;
use crate::plan::{Arm, Load, PlanError, Schedule, Service};

const KEYS: &[&str] = &["repetitions", "rounds", "warm_up", "idle", "sample_every", "seed", "load_cpus"];

/// The idle time of a plan that states none: two seconds more than jemalloc takes by itself.
const IDLE: Duration = Duration::from_secs(12);
/// A longer one has to be asked for.
const LONGEST_IDLE_BY_DEFAULT: Duration = Duration::from_secs(60);
/// Samples come at 20 Hz at the most often, as a look at a service with many mappings takes milliseconds.
const LEAST_BETWEEN_SAMPLES: Duration = Duration::from_millis(50);

pub(super) fn read(
    root: &Table,
    load: &Load,
    arms: &[Arm],
    service: &Service,
) -> Result<Schedule, PlanError> {
    let is_work = matches!(load, Load::Work);
    let decay = longest_decay(arms, service).map_or(Duration::ZERO, |slowest| slowest.time);
    let mut schedule = Schedule {
        repetitions: 5,
        rounds: if is_work { 1 } else { 2 },
        warm_up: if is_work { Duration::ZERO } else { Duration::from_secs(5) },
        // Decay is spread over its time: after one and a fifth of it, what was unused has gone back.
        idle: if is_work { Duration::ZERO } else { IDLE.max((decay * 6 / 5).min(LONGEST_IDLE_BY_DEFAULT)) },
        sample_every: Duration::from_millis(100),
        seed: 1,
        load_cpus: Vec::new(),
    };
    let Some(table) = root.get("schedule") else { return Ok(schedule) };
    let table = table.table(KEYS)?;
    if let Some(value) = table.get("repetitions") {
        schedule.repetitions = value.count(1, 1000)?;
    }
    if let Some(value) = table.get("rounds") {
        schedule.rounds = value.count(1, 1000)?;
    }
    if let Some(value) = table.get("warm_up") {
        schedule.warm_up = value.duration(Duration::ZERO)?;
    }
    if let Some(value) = table.get("sample_every") {
        schedule.sample_every = value.duration(LEAST_BETWEEN_SAMPLES)?;
    }
    if let Some(value) = table.get("idle") {
        schedule.idle = value.duration(Duration::ZERO)?;
        if schedule.idle < schedule.sample_every && !is_work {
            return Err(value.refuse(format!(
                "a time of at least one sample, {} ms: memory is compared as it is when the service idles",
                schedule.sample_every.as_millis()
            )));
        }
    }
    if let Some(value) = table.get("seed") {
        // Readers of JSON keep 53 bits of a number.
        schedule.seed = value.whole(0, (1 << 53) - 1)?;
    }
    if let Some(value) = table.get("load_cpus") {
        schedule.load_cpus = value.cpus()?;
    }
    if is_work {
        work(&table, &schedule)?;
    }
    Ok(schedule)
}

/// A script that does its work and ends has one round, before which and after which is nothing.
fn work(table: &Table, schedule: &Schedule) -> Result<(), PlanError> {
    let contradicts = [
        ("rounds", schedule.rounds != 1),
        ("warm_up", !schedule.warm_up.is_zero()),
        ("idle", !schedule.idle.is_zero()),
        ("load_cpus", !schedule.load_cpus.is_empty()),
    ];
    match contradicts.into_iter().find_map(|(key, wrong)| table.get(key).filter(|_| wrong)) {
        None => Ok(()),
        Some(value) => Err(value.conflict(
            format!("{} means nothing to the work model", value.path),
            "a script that does its work and ends has one round; leave the key out",
        )),
    }
}
