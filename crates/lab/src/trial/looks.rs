//! Looks into the service, at the moments that matter and in between as long as they are cheap.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use slackwater_base::Gap;

use crate::observe::Observer;
use crate::result::{InForce, LedgerPoint, Trial};
use crate::sample::{Sampler, cpu_of_this_thread};

/// Looks in between take one part in this many of the time, at the most.
const MOST_SHARE: u32 = 100;
/// And come no more often than this.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Everything that was seen by looking.
pub(super) struct Looks<'a> {
    observer: &'a dyn Observer,
    zero: Instant,
    seen: Mutex<Seen>,
}

struct Seen {
    ledgers: Vec<LedgerPoint>,
    in_force: Vec<InForce>,
    gaps: Vec<Gap>,
    cpu: Duration,
    next: Instant,
}

impl<'a> Looks<'a> {
    pub(super) fn new(observer: &'a dyn Observer, zero: Instant) -> Self {
        let seen = Seen {
            ledgers: Vec::new(),
            in_force: Vec::new(),
            gaps: Vec::new(),
            cpu: Duration::ZERO,
            next: zero + LEAST_PAUSE,
        };
        Self { observer, zero, seen: Mutex::new(seen) }
    }

    /// Looks where the memory is, now.
    pub(super) fn look(&self, sampler: &Sampler) {
        let mut seen = self.lock();
        let pids = sampler.pids();
        let (begun, cpu) = (Instant::now(), cpu_of_this_thread());
        let looked = self.observer.ledger(&pids).unpack(&mut seen.gaps);
        seen.cpu += cpu_of_this_thread().saturating_sub(cpu);
        seen.next = Instant::now() + (begun.elapsed() * MOST_SHARE).max(LEAST_PAUSE);
        if let Some(holdings) = looked {
            seen.ledgers.push(LedgerPoint {
                at: begun.saturating_duration_since(self.zero).as_secs_f64(),
                ledger: holdings.ledger,
                pss_bytes: holdings.pss_bytes,
                private_bytes: holdings.private_bytes,
                unread: holdings.unread,
            });
        }
    }

    /// Asks what serves each process.
    pub(super) fn ask_in_force(&self, sampler: &Sampler) {
        let mut seen = self.lock();
        let cpu = cpu_of_this_thread();
        let in_force = self.observer.in_force(&sampler.pids()).unpack(&mut seen.gaps);
        seen.cpu += cpu_of_this_thread().saturating_sub(cpu);
        if !in_force.is_empty() {
            seen.in_force = in_force;
        }
    }

    /// Looks again and again until what is returned is dropped. A service that ends when its work is done
    /// is asked what serves it too, as nobody knows when its end comes.
    pub(super) fn in_between<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        sampler: &'env Sampler,
        ask: bool,
    ) -> Sender<()> {
        let (stop, stopped) = mpsc::channel::<()>();
        scope.spawn(move || {
            loop {
                let pause = self.lock().next.saturating_duration_since(Instant::now());
                match stopped.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
                // Somebody may have looked meanwhile.
                if self.lock().next <= Instant::now() {
                    self.look(sampler);
                    if ask && self.lock().in_force.is_empty() {
                        self.ask_in_force(sampler);
                    }
                }
            }
        });
        stop
    }

    /// Puts what was seen into the trial.
    pub(super) fn finish(self, trial: &mut Trial) {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        trial.ledgers = seen.ledgers;
        trial.in_force = seen.in_force;
        trial.sampling_cpu_seconds += seen.cpu.as_secs_f64();
        for gap in seen.gaps {
            let gap = format!("{}: {}", gap.subject, gap.cause);
            if !trial.gaps.contains(&gap) {
                trial.gaps.push(gap);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
