//! The closed model: users who wait for their answer, think, and ask again.
//!
//! A service that stalls is asked less by them, just then: quantiles of latency look better than a visitor
//! from outside would find them. That is the model, and the result names it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::generator::{Next, Pace};

/// What a user waits after a connection failed, at the least: a dead port is not asked a million times.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Users that think for the same time.
#[derive(Debug)]
pub(super) struct Users {
    /// When those who are not waiting for an answer will ask, the next one first.
    ready: BinaryHeap<Reverse<Duration>>,
    think: Duration,
    total: Duration,
}

impl Users {
    /// All of them ask at once when the load begins.
    pub(super) fn new(n_users: usize, think: Duration, total: Duration) -> Self {
        Self { ready: (0..n_users).map(|_| Reverse(Duration::ZERO)).collect(), think, total }
    }
}

impl Pace for Users {
    fn next(&mut self, now: Duration) -> Next {
        if now >= self.total {
            return Next::End;
        }
        match self.ready.peek() {
            Some(&Reverse(due)) if due <= now => {
                self.ready.pop();
                Next::Send { due }
            }
            Some(&Reverse(due)) => Next::At(due.min(self.total)),
            None => Next::At(self.total),
        }
    }

    fn ended(&mut self, now: Duration, was_answered: bool) {
        let pause = if was_answered { self.think } else { self.think.max(AFTER_FAILURE) };
        self.ready.push(Reverse(now + pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn users_ask_again_after_their_answer_and_a_thought() {
        let mut users = Users::new(2, ms(30), ms(1000));
        assert_eq!(users.next(ms(0)), Next::Send { due: ms(0) });
        assert_eq!(users.next(ms(0)), Next::Send { due: ms(0) });
        assert_eq!(users.next(ms(0)), Next::At(ms(1000)));
        users.ended(ms(400), true);
        assert_eq!(users.next(ms(401)), Next::At(ms(430)));
        users.ended(ms(410), true);
        assert_eq!(users.next(ms(431)), Next::Send { due: ms(430) });
        assert_eq!(users.next(ms(431)), Next::At(ms(440)));
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let mut users = Users::new(1, ms(0), ms(1000));
        assert_eq!(users.next(ms(0)), Next::Send { due: ms(0) });
        users.ended(ms(1), false);
        assert_eq!(users.next(ms(1)), Next::At(ms(11)));
    }

    #[test]
    fn nobody_asks_after_the_end() {
        let mut users = Users::new(1, ms(5), ms(20));
        assert_eq!(users.next(ms(0)), Next::Send { due: ms(0) });
        users.ended(ms(18), true);
        assert_eq!(users.next(ms(19)), Next::At(ms(20)));
        assert_eq!(users.next(ms(20)), Next::End);
    }
}
