//! A trial while the service runs: ready, then loaded and left alone in rounds.
//!
//! Invariant: a service that ends, and a user who wants to stop, are seen within a step, whatever is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::judge::judge;
use super::looks::Looks;
use super::rounds::{self, Span};
use super::void::Reason;
use super::{Bench, Phase};
use crate::keeper::{End, Keeper};
use crate::load;
use crate::plan::{Load, Step};
use crate::result::Answers;
use crate::sample::Sampler;
use crate::service::{self, Log};

/// How often waiting looks whether the service has ended or the user wants to stop.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// A trial while the service runs.
pub(super) struct Live<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) port: u16,
    pub(super) zero: Instant,
    pub(super) keeper: &'a Keeper,
    pub(super) sampler: &'a Sampler,
    pub(super) tick: &'a mut dyn FnMut(Phase),
}

/// What was measured while the service ran.
pub(super) struct Seen {
    pub(super) ready_seconds: f64,
    pub(super) spans: Vec<Span>,
    pub(super) n_ended: usize,
}

impl Live<'_> {
    /// Waits until it is ready, then loads it and leaves it alone, round by round.
    pub(super) fn through(&mut self, log: &Log, looks: &Looks<'_>) -> Result<Seen, Reason> {
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
            Some((End::Exited(0), _)) | None => {}
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

    pub(super) fn check_alive(&self) -> Result<(), Reason> {
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
