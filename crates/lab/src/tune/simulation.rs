//! Searches of which the best answer is known: simulated services on a noisy machine, with a clock of
//! their own.

use std::error::Error;
use std::time::Duration;

use slackwater_tune::Allocator;

use super::{Runner, TuneError, Tuned, search, space};
use crate::compare::Objective;
use crate::compare::simulation::{Machine, SAME, Truth, plan};
use crate::plan::{Arm, Plan, expected_of_trial};
use crate::result::Trial;

/// A world in which one candidate is best, and others are smaller but too dear.
fn truth(arm: &Arm) -> Truth {
    let Some(told) = &arm.allocator else { return SAME };
    let has = |text: &str| told.settings.iter().any(|setting| setting == text);
    let (mut memory, mut cpu) = match told.choice.as_str() {
        "slackwater" => (0.50, 1.02),
        "jemalloc" => (0.60, 1.04),
        "glibc" => (0.85, 1.00),
        "mimalloc" => (0.95, 0.97),
        _ => (1.10, 0.96),
    };
    // The best: it takes what two steps give, and stays within 3 %.
    if has("dirty_decay_ms=5000") {
        (memory, cpu) = (memory * 1.05, cpu * 0.98);
    }
    if has("dirty_decay_ms=0") {
        (memory, cpu) = (memory * 0.95, cpu * 1.25);
    }
    if has("narenas=2") {
        (memory, cpu) = (memory * 0.80, cpu * 0.99);
    }
    if told.pymalloc.as_deref() == Some("keep") {
        (memory, cpu) = (memory * 1.3, cpu * 0.95);
    }
    Truth { memory, cpu, latency: 1.0 }
}

const BEST: &str = "slackwater by run narenas=2";

/// Runs plans by the truth; its trials take longer than expected by `slowness`.
struct World {
    seed: u64,
    noise: f64,
    slowness: f64,
    spent: Duration,
    fails: Option<&'static str>,
}

impl Runner for World {
    fn run(&mut self, stage: &str, plan: &Plan) -> Result<Vec<Trial>, Box<dyn Error + Send + Sync>> {
        if self.fails == Some(stage) {
            return Err("the disk is full".into());
        }
        let n_trials = (plan.arms.len() * plan.schedule.repetitions) as u32;
        self.spent += (expected_of_trial(plan).expect("a length") * n_trials).mul_f64(self.slowness);
        self.seed += 1;
        let by_name = |name: &str| truth(plan.arms.iter().find(|arm| arm.name == name).expect("an arm"));
        Ok(Machine::new(self.noise, 0.05, self.seed).experiment(plan, by_name))
    }

    fn spent(&self) -> Duration {
        self.spent
    }
}

fn searched(seed: u64, noise: f64, slowness: f64, budget: Duration) -> (Tuned, Duration) {
    let mut world = World { seed: seed * 1000, noise, slowness, spent: Duration::ZERO, fails: None };
    let plan = plan(&["glibc"], 5);
    let tuned = search(&plan, space(Allocator::ALL), budget, &Objective::default(), &mut world);
    (tuned.expect("a search"), world.spent)
}

const HOURS: Duration = Duration::from_secs(2 * 3600);

#[test]
fn the_best_is_found_and_confirmed_within_the_budget() {
    let mut n_best = 0;
    for seed in 0..40 {
        let (tuned, spent) = searched(seed, 0.02, 1.0, HOURS);
        assert!(spent <= HOURS, "{spent:?}");
        let choice = tuned.choice().unwrap_or_else(|| panic!("{:#?}", tuned.lines()));
        assert!(truth(tuned.winner.as_ref().expect("a winner")).memory < 0.55, "{:#?}", tuned.lines());
        n_best += usize::from(choice.arm == BEST);
    }
    assert!(n_best >= 36, "{n_best} of 40");
}

#[test]
fn a_short_budget_leaves_out_the_unlikely_and_is_kept() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for slowness in [0.8, 1.0, 1.3] {
        let (tuned, spent) = searched(1, 0.02, slowness, minutes(30));
        assert!(spent <= minutes(30).mul_f64(slowness.max(1.0)), "{spent:?}");
        assert!(!tuned.left_out.is_empty() && tuned.winner.is_some());
        assert!(tuned.lines().iter().any(|line| line.starts_with("no time for")), "{:#?}", tuned.lines());
    }
    let (_, spent) = searched(1, 0.02, 1.5, HOURS);
    assert!(spent <= HOURS, "it was seen to be slow: {spent:?}");
}

#[test]
fn nothing_is_recommended_that_does_not_hold() {
    let plan = plan(&["glibc"], 5);
    // All the same: whatever wins won by luck.
    let mut world = World { seed: 5, noise: 0.03, slowness: 1.0, spent: Duration::ZERO, fails: None };
    let same: Vec<Arm> = (0..9)
        .map(|idx| Arm { name: format!("same {idx}"), allocator: None, ..plan.arms[0].clone() })
        .collect();
    let tuned = search(&plan, same, HOURS, &Objective::default(), &mut world).expect("a search");
    assert_eq!(tuned.choice().map(|choice| choice.arm.as_str()), Some("glibc"), "{:#?}", tuned.lines());
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let plan = plan(&["glibc"], 5);
    let mut world =
        World { seed: 1, noise: 0.02, slowness: 1.0, spent: Duration::ZERO, fails: Some("rung-1") };
    let mut refused = |space: Vec<Arm>, budget: u64| {
        search(&plan, space, Duration::from_secs(budget), &Objective::default(), &mut world)
            .expect_err("refused")
    };
    let error = refused(space(Allocator::ALL), 60);
    assert!(matches!(error, TuneError::BudgetTooShort { .. }) && error.hint().contains("raise --budget"));
    assert!(matches!(refused(Vec::new(), 7200), TuneError::NoCandidates));
    assert!(
        matches!(refused(space(Allocator::ALL), 7200), TuneError::Run { stage, .. } if stage == "rung-1")
    );
}
