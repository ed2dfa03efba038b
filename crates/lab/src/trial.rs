//! One trial: the service started under one arm, loaded in rounds, silent after each, and stopped.
//!
//! Invariant: a trial is measured whole or it is void, with the reason; and when it is over, nothing of the
//! service runs any more.

mod clocks;
mod external;
mod judge;
mod looks;
mod machine;
mod rounds;
mod void;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slackwater_procfs::{CgroupVersion, MemoryGroup};

use self::clocks::Clocks;
use self::judge::judge;
use self::looks::Looks;
use self::machine::Machine;
use self::rounds::Span;
use self::void::Reason;
use crate::keeper::{Gone, Keeper, Starter};
use crate::load;
use crate::observe::Observer;
use crate::plan::{Arm, Load, Plan, Ready, Step};
use crate::result::{Answers, Disturbances, Trial, Void};
use crate::sample::{Sampler, Series};
use crate::service::{self, Log};

/// How often waiting looks whether the service has ended or the user wants to stop.
const STEP: Duration = Duration::from_millis(50);

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

/// A trial while the service runs.
struct Live<'a> {
    bench: &'a Bench<'a>,
    port: u16,
    zero: Instant,
    keeper: &'a Keeper,
    sampler: &'a Sampler,
    tick: &'a mut dyn FnMut(Phase),
}

/// What was measured while the service ran.
struct Seen {
    ready_seconds: f64,
    spans: Vec<Span>,
    n_ended: usize,
}

impl Live<'_> {
    fn through(&mut self, log: &Log, looks: &Looks<'_>) -> Result<Seen, Reason> {
        let plan = self.bench.plan;
        let cancel = self.bench.cancel;
        let is_cancelled = || cancel.load(Ordering::Relaxed);
        let within = plan.service.ready_within;
        service::wait(&plan.service.ready, self.port, self.keeper, log, within, is_cancelled)?;
        let ready_seconds = self.zero.elapsed().as_secs_f64();
        let n_ended_before = self.sampler.n_ended();
        std::thread::scope(|scope| {
            let _between = looks.in_between(scope, self.sampler, matches!(plan.load, Load::Work));
            let spans = match &plan.load {
                Load::Work => vec![self.work()?],
                _ => self.rounds(looks)?,
            };
            Ok(Seen { ready_seconds, spans, n_ended: self.sampler.n_ended() - n_ended_before })
        })
    }

    fn rounds(&mut self, looks: &Looks<'_>) -> Result<Vec<Span>, Reason> {
        let schedule = &self.bench.plan.schedule;
        looks.look(self.sampler);
        if let Some(warm_up) = warm_up(&self.bench.plan.load, schedule.warm_up) {
            self.load(&warm_up, schedule.seed, Phase::WarmingUp)?;
        }
        let mut spans = Vec::new();
        for round in 0..schedule.rounds {
            let seed = schedule.seed.wrapping_add(1 + round as u64);
            let before = self.sampler.cost();
            let (from, until, answers) = self.load(&self.bench.plan.load, seed, Phase::Loading(round + 1))?;
            let loaded = self.sampler.cost().since(before);
            if let Some(answers) = &answers {
                judge(answers, &self.bench.plan.load)?;
            }
            looks.look(self.sampler);
            if round == 0 {
                looks.ask_in_force(self.sampler);
            }
            self.idle(until + schedule.idle, Phase::Idling(round + 1))?;
            let idle_until = Instant::now();
            let whole = self.sampler.cost().since(before);
            let exact = rounds::exact(&self.sampler.pids());
            looks.look(self.sampler);
            spans.push(Span {
                load_from: self.at(from),
                load_until: self.at(until),
                idle_until: self.at(idle_until),
                answers,
                loaded,
                whole,
                exact,
            });
        }
        Ok(spans)
    }

    /// The service works by itself until it ends.
    fn work(&mut self) -> Result<Span, Reason> {
        while !self.keeper.wait_until(Instant::now() + STEP) {
            (self.tick)(Phase::Loading(1));
            self.check_cancelled()?;
        }
        let at = self.at(Instant::now());
        match self.keeper.ended() {
            Some((crate::keeper::End::Exited(0), _)) | None => {}
            Some((end, _)) => return Err(Reason::Failed { end }),
        }
        let whole = self.sampler.cost();
        Ok(Span {
            load_from: 0.0,
            load_until: at,
            idle_until: at,
            answers: None,
            loaded: whole,
            whole,
            exact: None,
        })
    }

    /// Loads the service: from when, until when, and what the answers were.
    fn load(
        &mut self,
        load: &Load,
        seed: u64,
        phase: Phase,
    ) -> Result<(Instant, Instant, Option<Answers>), Reason> {
        (self.tick)(phase);
        if let Load::External { command } = load {
            return self.load_by(command, seed, phase);
        }
        let halt = AtomicBool::new(false);
        let cpus = &self.bench.plan.schedule.load_cpus;
        let loaded = load::run(load, self.port, seed, cpus, &halt, &mut |_| {
            (self.tick)(phase);
            if self.bench.cancel.load(Ordering::Relaxed) || self.keeper.ended().is_some() {
                halt.store(true, Ordering::Relaxed);
            }
        });
        self.check_alive()?;
        let loaded = loaded.map_err(Reason::Load)?;
        Ok((loaded.from, loaded.until, Some(loaded.answers)))
    }

    fn idle(&mut self, until: Instant, phase: Phase) -> Result<(), Reason> {
        while Instant::now() < until {
            (self.tick)(phase);
            self.keeper.wait_until((Instant::now() + STEP).min(until));
            self.check_alive()?;
        }
        Ok(())
    }

    fn check_cancelled(&self) -> Result<(), Reason> {
        match self.bench.cancel.load(Ordering::Relaxed) {
            true => Err(Reason::Cancelled),
            false => Ok(()),
        }
    }

    fn check_alive(&self) -> Result<(), Reason> {
        self.check_cancelled()?;
        match self.keeper.ended() {
            Some((end, n_left)) => {
                Err(Reason::Died { end, n_left, at_seconds: self.zero.elapsed().as_secs_f64() })
            }
            None => Ok(()),
        }
    }

    fn at(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.zero).as_secs_f64()
    }
}

fn group(directory: std::path::PathBuf) -> MemoryGroup {
    let version =
        if directory.join("memory.limit_in_bytes").exists() { CgroupVersion::V1 } else { CgroupVersion::V2 };
    MemoryGroup { directory, version }
}

/// The same requests at the first rate; none where others do the loading.
fn warm_up(load: &Load, duration: Duration) -> Option<Load> {
    if duration.is_zero() {
        return None;
    }
    match load.clone() {
        Load::Open { steps, http } => {
            let rate_per_second = steps.first()?.rate_per_second;
            Some(Load::Open { steps: vec![Step { rate_per_second, duration }], http })
        }
        Load::Closed { users, think, http, .. } => Some(Load::Closed { users, think, duration, http }),
        Load::External { .. } | Load::Work => None,
    }
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
