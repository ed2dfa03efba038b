//! How often a test repeats what it repeats: a few times in a usual run, as often as is promised in the long form.
//!
//! `SLACKWATER_LONG=SECONDS` asks for the long form: each test goes on until it has done all, or so much time is
//! over. In the folder that `SLACKWATER_LONG_INTO` names, each leaves how far it came, brought up to date while it
//! runs: what is killed, or hangs, has left that too. `cargo xtask long-faults` asks, and gathers.
//!
//! Invariant: the few rounds of a usual run are always done, whatever the time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Rounds of a test that are still to do: an iterator over their numbers, from 0.
#[derive(Debug)]
pub struct Rounds {
    next: u64,
    step: u64,
    few: u64,
    long: Option<Long>,
}

#[derive(Debug)]
struct Long {
    many: u64,
    lasting: Duration,
    began: Instant,
    told: Instant,
    into: Option<PathBuf>,
}

/// So few rounds, and so many in the long form.
#[must_use]
pub fn rounds(few: u64, many: u64) -> Rounds {
    let seconds = std::env::var("SLACKWATER_LONG").ok().and_then(|seconds| seconds.parse().ok());
    let long = seconds.map(|seconds| {
        let began = Instant::now();
        let into = std::env::var_os("SLACKWATER_LONG_INTO").map(|folder| PathBuf::from(folder).join(name()));
        Long { many: many.max(few), lasting: Duration::from_secs(seconds), began, told: began, into }
    });
    let rounds = Rounds { next: 0, step: 1, few, long };
    rounds.tell();
    rounds
}

/// A file name of its own for each loop of a test: crate, test, and a number.
fn name() -> String {
    static N_LOOPS: AtomicU32 = AtomicU32::new(0);
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let test = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    format!("{package} {test} {}", N_LOOPS.fetch_add(1, Ordering::Relaxed))
}

impl Rounds {
    /// Each turn of the loop is so many rounds.
    #[must_use]
    pub fn by(self, step: u64) -> Self {
        Self { step, ..self }
    }

    fn tell(&self) {
        if let Some(Long { many, began, into: Some(into), .. }) = &self.long {
            let text = format!("{} {many} {}\n", self.next, began.elapsed().as_secs());
            // What it is told in is not what it tests.
            let _ = std::fs::write(into, text);
        }
    }
}

impl Iterator for Rounds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let now = self.next;
        let goes_on = match &self.long {
            Some(long) => now < self.few || (now < long.many && long.began.elapsed() < long.lasting),
            None => now < self.few,
        };
        if self.long.as_ref().is_some_and(|long| !goes_on || long.told.elapsed() >= Duration::from_secs(1)) {
            self.tell();
            if let Some(long) = &mut self.long {
                long.told = Instant::now();
            }
        }
        self.next += if goes_on { self.step } else { 0 };
        goes_on.then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(few: u64, long: Option<(u64, Duration)>) -> Rounds {
        let began = Instant::now();
        let long = long.map(|(many, lasting)| Long { many, lasting, began, told: began, into: None });
        Rounds { next: 0, step: 1, few, long }
    }

    #[test]
    fn few_are_always_done_and_many_when_there_is_time() {
        let hour = Duration::from_secs(3600);
        assert_eq!(of(3, None).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(of(3, Some((5, hour))).count(), 5);
        assert_eq!(of(3, Some((5, Duration::ZERO))).count(), 3);
        assert_eq!(of(6, Some((20, hour))).by(6).collect::<Vec<_>>(), [0, 6, 12, 18]);
    }

    #[test]
    fn how_far_it_came_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("it");
        let mut rounds = of(2, Some((9, Duration::ZERO)));
        rounds.long.as_mut().unwrap().into = Some(into.clone());
        while rounds.next().is_some() {}
        assert_eq!(std::fs::read_to_string(into).unwrap(), "2 9 0\n");
    }
}
