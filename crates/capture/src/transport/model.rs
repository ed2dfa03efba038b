//! Every order in which writers and the collector can meet in a small ring, tried out by loom:
//! `scripts/model-check`.
//!
//! Loom orders more than the processor must: what it passes can still be wrong only where several relaxed
//! accesses to different words may be seen in another order, and none here relies on that.

use std::vec::Vec;

use loom::sync::Arc;
use loom::thread;

use super::ring::{HEADER_WORDS, SLOT_WORDS};
use super::{AtomicU64, Drained, Full, Ring, Slot};

/// Slots that follow a first one: what its second word says in these tests.
fn n_more(slot: &Slot) -> u64 {
    slot[1] & 0xff
}

fn words(n_slots: usize) -> Arc<Vec<AtomicU64>> {
    let n_words = HEADER_WORDS + n_slots * SLOT_WORDS;
    Arc::new(std::iter::repeat_with(|| AtomicU64::new(0)).take(n_words).collect())
}

/// Tries every order; of more than two changes of thread in one run loom tries none.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// Drains what is there: the first words of the messages, each whole.
fn drained(ring: Ring<'_>, seen: &mut Vec<u64>) -> Drained {
    ring.drain(64, n_more, |slot, rest| {
        assert_eq!(slot[2], slot[0] * 3, "torn");
        let mut n_following = 0;
        rest.for_each(|following| {
            n_following += 1;
            assert_eq!(following, [slot[0], n_following, 7], "torn");
        });
        assert_eq!(n_following, n_more(slot));
        seen.push(slot[0]);
    })
}

#[test]
fn what_two_writers_push_arrives_whole_and_once_or_is_refused() {
    check(|| {
        let memory = words(2);
        let writers: Vec<_> = [10_u64, 20]
            .map(|first| {
                let memory = memory.clone();
                thread::spawn(move || {
                    let ring = Ring::new(&memory).unwrap();
                    let push = |value: &u64| ring.push([*value, 0, value * 3]).is_ok();
                    [first, first + 1].into_iter().filter(push).collect::<Vec<_>>()
                })
            })
            .into_iter()
            .collect();
        let ring = Ring::new(&memory).unwrap();
        let mut seen = Vec::new();
        drained(ring, &mut seen);
        let mut pushed = Vec::new();
        for writer in writers {
            pushed.extend(writer.join().unwrap());
        }
        while drained(ring, &mut seen) != Drained::Empty {}
        pushed.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, pushed);
        // Two fit, whatever is drained.
        assert!(pushed.len() >= 2);
    });
}

#[test]
fn a_message_of_several_slots_is_seen_whole_or_not_at_all() {
    check(|| {
        let memory = words(4);
        let writer = {
            let memory = memory.clone();
            thread::spawn(move || {
                let ring = Ring::new(&memory).unwrap();
                for value in [5_u64, 6] {
                    let message = |idx| [value, idx + 1, 7];
                    // The second one finds no room unless the first one is drained.
                    while ring.push_many([value, 2, value * 3], 2, message) == Err(Full) {
                        thread::yield_now();
                    }
                }
            })
        };
        let ring = Ring::new(&memory).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            if drained(ring, &mut seen) != Drained::Enough {
                thread::yield_now();
            }
        }
        writer.join().unwrap();
        assert_eq!(seen, [5, 6]);
    });
}
