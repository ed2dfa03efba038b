//! One trial: the service started under one arm, loaded in rounds, silent after each, and stopped.
//!
//! Invariant: a trial is measured whole or it is void, with the reason; and when it is over, nothing of the
//! service runs any more.

mod clocks;
mod external;
mod judge;
mod live;
mod looks;
mod machine;
mod rounds;
mod void;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use slackwater_procfs::{CgroupVersion, MemoryGroup};

use self::clocks::Clocks;
use self::live::{Live, Seen};
use self::looks::Looks;
use self::machine::Machine;
use self::void::Reason;
use crate::keeper::{Gone, Keeper, Starter};
use crate::observe::Observer;
use crate::plan::{Arm, Load, Plan, Ready};
use crate::result::{Disturbances, Trial, Void};
use crate::sample::{Sampler, Series};
use crate::service::{self, Log};

/// What a trial is made of besides its arm.
pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) starter: &'a Starter,
    /// The words that start a command on an allocator.
    pub(crate) run: &'a [String],
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: &'a AtomicBool,
}

/// What is happening in a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The service starts.
    Starting,
    /// It is loaded, and that does not count.
    WarmingUp,
    /// It is loaded, in this round from 1.
    Loading(usize),
    /// It is left alone after this round.
    Idling(usize),
    /// It is being stopped.
    Stopping,
}

/// How a trial ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Measured.
    Whole(Box<Trial>),
    /// It says nothing.
    Void(Void),
    /// The user wants to stop.
    Cancelled,
}

impl Bench<'_> {
    /// Runs one trial. `tick` is told what is happening, some times a second.
    pub(crate) fn trial(&self, arm: &Arm, repetition: usize, tick: &mut dyn FnMut(Phase)) -> Outcome {
        let wanted = match &self.plan.service.ready {
            Ready::Log(text) => Some(text.as_str()),
            _ => None,
        };
        let log = Log::watching_for(wanted);
        let clocks = Clocks::now();
        let started_unix_ms = clocks.unix_ms();
        match self.measured(arm, repetition, &log, &clocks, tick) {
            Ok(trial) => Outcome::Whole(Box::new(trial)),
            Err(Reason::Cancelled) => Outcome::Cancelled,
            Err(reason) => Outcome::Void(Void {
                arm: arm.name.clone(),
                repetition,
                started_unix_ms,
                reason: void::in_words(&reason),
                log: log.last_lines(),
            }),
        }
    }

    fn measured(
        &self,
        arm: &Arm,
        repetition: usize,
        log: &Log,
        clocks: &Clocks,
        tick: &mut dyn FnMut(Phase),
    ) -> Result<Trial, Reason> {
        tick(Phase::Starting);
        let plan = self.plan;
        let port = service::free_port().map_err(Reason::Port)?;
        let order = service::order(&plan.service, arm, self.run, port);
        let before = Machine::now();
        let zero = Instant::now();
        let keeper = Keeper::start(self.starter, &order, log)?;
        let group = keeper.group().map(|directory| group(directory.clone()));
        let sampler = Sampler::start(keeper.pid(), group.as_ref(), zero, plan.schedule.sample_every);
        let mut live = Live { bench: self, port, zero, keeper: &keeper, sampler: &sampler, tick };
        let looks = Looks::new(self.observer, zero);
        let seen = live.through(log, &looks);
        tick(Phase::Stopping);
        let service_seconds = sampler.cost().cpu_seconds;
        let after = Machine::now();
        let series = sampler.finish();
        let gone = keeper.stop();
        let seen = seen.map_err(|reason| reason.explained_by(&gone))?;
        stopped_cleanly(&gone, port)?;
        let swapped = seen.spans.iter().filter_map(|span| Some(span.exact?.swapped_bytes)).max();
        let mut trial = assemble(arm, repetition, clocks.unix_ms(), seen, series, &gone)?;
        looks.finish(&mut trial);
        let both = before.zip(after);
        trial.disturbances = Disturbances {
            stolen_cpu_seconds: both.map(|(before, after)| after.stolen_since(before)),
            // What another program used that made the load is not known.
            others_cpu_seconds: both
                .filter(|_| !matches!(plan.load, Load::External { .. }))
                .map(|(before, after)| after.others_since(before, service_seconds)),
            swapped_bytes: swapped,
            clock_step_seconds: clocks.step()?,
            n_limit_hits: gone.n_limit_hits,
        };
        Ok(trial)
    }
}

fn group(directory: std::path::PathBuf) -> MemoryGroup {
    let version =
        if directory.join("memory.limit_in_bytes").exists() { CgroupVersion::V1 } else { CgroupVersion::V2 };
    MemoryGroup { directory, version }
}

/// What is left after the end makes what follows doubtful.
fn stopped_cleanly(gone: &Gone, port: u16) -> Result<(), Reason> {
    if !gone.stuck.is_empty() {
        return Err(Reason::Stuck { left: gone.stuck.clone() });
    }
    if service::connect(port).is_ok() {
        return Err(Reason::PortLeaked { port });
    }
    Ok(())
}

fn assemble(
    arm: &Arm,
    repetition: usize,
    started_unix_ms: u64,
    seen: Seen,
    series: Series,
    gone: &Gone,
) -> Result<Trial, Reason> {
    let mut gaps = series.gaps;
    if !gone.left.is_empty() {
        let names: Vec<String> = gone.left.iter().map(ToString::to_string).collect();
        gaps.push(format!(
            "processes that did not end with the service and were killed: {}",
            names.join(", ")
        ));
    }
    gaps.extend(gone.leftovers.iter().cloned());
    let rounds = seen.spans.into_iter().map(|span| span.round(&series.points)).collect::<Option<Vec<_>>>();
    Ok(Trial {
        arm: arm.name.clone(),
        repetition,
        started_unix_ms,
        ready_seconds: seen.ready_seconds,
        in_force: Vec::new(),
        rounds: rounds.ok_or(Reason::Unseen)?,
        series: series.points,
        ledgers: Vec::new(),
        cgroup_peak_bytes: gone.group_peak_bytes,
        n_replaced: seen.n_ended,
        disturbances: Default::default(),
        sampling_cpu_seconds: series.cpu.as_secs_f64(),
        gaps,
    })
}
