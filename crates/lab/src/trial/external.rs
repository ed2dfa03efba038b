//! Load that another program makes. It is kept like a service, so that it does not outlive us either.

use std::time::Instant;

use super::Phase;
use super::live::{Live, STEP};
use super::void::Reason;
use crate::keeper::{End, Keeper, Order};
use crate::result::Answers;
use crate::service::Log;

/// How long the program may take to end when it is no longer wanted.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

impl Live<'_> {
    /// Runs `command` until it ends.
    pub(super) fn load_by(
        &mut self,
        command: &[String],
        seed: u64,
        phase: Phase,
    ) -> Result<(Instant, Instant, Option<Answers>), Reason> {
        let plan = self.bench.plan;
        let filled_in = |word: &String| {
            word.replace("{url}", &format!("http://127.0.0.1:{}", self.port))
                .replace("{port}", &self.port.to_string())
                .replace("{seed}", &seed.to_string())
        };
        let order = Order {
            command: command.iter().map(filled_in).collect(),
            directory: plan.service.directory.clone(),
            environment: Default::default(),
            cpus: plan.schedule.load_cpus.clone(),
            memory_limit_bytes: None,
            stop_within: STOP_WITHIN,
        };
        let log = Log::default();
        let from = Instant::now();
        let loader = Keeper::start(self.bench.starter, &order, &log)?;
        while !loader.wait_until(Instant::now() + STEP) {
            (self.tick)(phase);
            self.check_alive()?;
        }
        let until = Instant::now();
        let end = loader.ended().map_or(End::Unknown, |(end, _)| end);
        loader.stop();
        self.check_alive()?;
        match end {
            End::Exited(0) => Ok((from, until, None)),
            end => {
                let last_line = log.last_lines().pop().unwrap_or_else(|| "nothing".to_owned());
                Err(Reason::LoadCommand { end, last_line })
            }
        }
    }
}
