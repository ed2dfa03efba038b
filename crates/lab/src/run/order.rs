//! Which arm has its turn when.
//!
//! Invariant: every arm has one turn in every repetition, and the order is random inside of each, so that
//! what drifts on the machine meets all arms alike.

use crate::plan::Plan;

/// One trial to be run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Turn {
    pub(super) repetition: usize,
    /// Which of the plan's arms.
    pub(super) arm_idx: usize,
}

/// All turns in order. The same plan gives the same order.
pub(super) fn turns(plan: &Plan) -> Vec<Turn> {
    let mut dice = fastrand::Rng::with_seed(plan.schedule.seed);
    let mut turns = Vec::with_capacity(plan.schedule.repetitions * plan.arms.len());
    for repetition in 0..plan.schedule.repetitions {
        let mut arms: Vec<usize> = (0..plan.arms.len()).collect();
        dice.shuffle(&mut arms);
        turns.extend(arms.into_iter().map(|arm_idx| Turn { repetition, arm_idx }));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        let text = format!(
            "name = 'x'\n[service]\ncommand = 'serve {{port}}'\n[load]\nmodel = 'work'\n[schedule]\n\
             repetitions = 20\nseed = {seed}\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\n[[arm]]\nname = 'c'\n"
        );
        crate::plan::read(&text, std::path::Path::new("/")).unwrap()
    }

    #[test]
    fn every_arm_has_one_turn_in_every_repetition_in_an_order_of_its_own() {
        let (plan, n_arms) = (plan(1), plan(1).arms.len());
        let turns = turns(&plan);
        let mut first_arms: Vec<usize> = Vec::new();
        for (repetition, turns) in turns.chunks(n_arms).enumerate() {
            assert!(turns.iter().all(|turn| turn.repetition == repetition));
            let mut arms: Vec<usize> = turns.iter().map(|turn| turn.arm_idx).collect();
            first_arms.push(arms[0]);
            arms.sort_unstable();
            assert_eq!(arms, (0..n_arms).collect::<Vec<_>>());
        }
        assert_eq!(first_arms.len(), 20);
        first_arms.sort_unstable();
        first_arms.dedup();
        assert_eq!(first_arms.len(), n_arms, "each arm begins a repetition now and then");
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        assert_eq!(turns(&plan(7)), turns(&plan(7)));
        assert_ne!(turns(&plan(7)), turns(&plan(8)));
    }
}
