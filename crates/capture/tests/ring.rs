//! The ring under several writers: nothing is lost, doubled or torn.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use slackwater_capture::transport::{
    Drained, Message, Mode, PythonAllocators, Ring, Session, Settings, Texts,
};

fn words(n: usize) -> Vec<AtomicU64> {
    std::iter::repeat_with(|| AtomicU64::new(0)).take(n).collect()
}

fn allocation(addr: u64, tid: u32) -> Message {
    Message::Allocation { measure: 1, sampled: false, addr, size: addr * 3, stack: addr as u32, tid }
}

#[test]
fn every_message_of_every_writer_arrives_once_and_in_its_order() {
    let memory = words(Ring::words(128));
    let ring = Ring::new(&memory).unwrap();
    let per_writer = 60_000_u64;
    let done = AtomicBool::new(false);
    let mut seen = vec![0_u64; 4];
    let mut texts = 0;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u32)
            .map(|tid| {
                scope.spawn(move || {
                    for n in 1..=per_writer {
                        let texts = Texts { first_bytes: 40, second_bytes: 13 };
                        let location = Message::Location { id: n as u32, line: tid, texts };
                        while ring.push(allocation(n, tid).encode()).is_err() {
                            thread::yield_now();
                        }
                        let first = location.encode();
                        let more = texts.n_slots();
                        while n % 16 == 0 && ring.push_many(first, more, |idx| [u64::MAX, n, idx]).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let done = &done;
        scope.spawn(move || {
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        loop {
            let finished = done.load(Ordering::Acquire);
            let drained =
                ring.drain(1000, Message::n_more, |slot, rest| match Message::decode(slot).unwrap() {
                    Message::Allocation { measure: 1, sampled: false, addr, size, stack, tid } => {
                        let seen = &mut seen[tid as usize];
                        *seen += 1;
                        assert_eq!((addr, size, stack), (*seen, *seen * 3, *seen as u32));
                    }
                    Message::Location { id, line: _, texts: t } => {
                        let rest: Vec<_> = rest.collect();
                        assert_eq!(rest.len() as u64, t.n_slots());
                        for (idx, slot) in rest.iter().enumerate() {
                            assert_eq!(*slot, [u64::MAX, u64::from(id), idx as u64]);
                        }
                        texts += 1;
                    }
                    other => panic!("{other:?}"),
                });
            if drained == Drained::Empty && finished {
                break;
            }
        }
    });
    assert_eq!(seen, [per_writer; 4]);
    assert_eq!(texts, 4 * per_writer / 16);
}

#[test]
fn a_full_ring_says_so_and_an_unfinished_slot_can_be_passed_over() {
    let memory = words(Ring::words(128));
    let ring = Ring::new(&memory).unwrap();
    for n in 0..128 {
        ring.push(allocation(n + 1, 1).encode()).unwrap();
    }
    assert!(ring.push(allocation(1, 1).encode()).is_err());
    assert!(ring.is_full() && !ring.is_relieved());

    // As if the first writer had been killed before its last store.
    memory[64].store(0, Ordering::Relaxed);
    let mut n_seen = 0;
    let mut drain = || ring.drain(u64::MAX, Message::n_more, |_, _| n_seen += 1);
    assert_eq!(drain(), Drained::Unfinished);
    ring.skip();
    assert_eq!(drain(), Drained::Empty);
    assert_eq!(n_seen, 127);
    ring.push(allocation(1, 1).encode()).unwrap();
}

#[test]
fn a_full_ring_is_relieved_when_a_quarter_of_it_is_free() {
    let memory = words(Ring::words(128));
    let ring = Ring::new(&memory).unwrap();
    (0..128).for_each(|n| ring.push(allocation(n + 1, 1).encode()).unwrap());
    ring.drain(31, Message::n_more, |_, _| {});
    assert!(!ring.is_relieved());
    ring.drain(1, Message::n_more, |_, _| {});
    assert!(ring.is_relieved());
    // A forged head: nobody waits for it forever, since waiting has an end of its own.
    memory[16].store(u64::MAX, Ordering::Relaxed);
    assert!(!ring.is_relieved());
}

#[test]
fn fault_35_forged_words_are_bounded() {
    let memory = words(Ring::words(64));
    let ring = Ring::new(&memory).unwrap();
    // Head far ahead of the tail, every slot claiming to be followed by more than there are.
    memory.iter().for_each(|word| word.store(u64::MAX - 5, Ordering::Relaxed));
    let mut n_slots = 0;
    ring.drain(u64::MAX, Message::n_more, |_, rest| n_slots += 1 + rest.count());
    assert!(n_slots <= 64, "{n_slots}");
    // A header that makes rings smaller than any that is made.
    let memory = words(Ring::words(1));
    let ring = Ring::new(&memory).unwrap();
    assert!(ring.is_full());

    assert!(Session::open(&memory).is_err());
    let settings = Settings {
        mode: Mode::Exact,
        sample_mean: 1,
        seed: 0,
        n_rings: 2,
        n_slots: 64,
        native_words: 0,
        python_allocators: PythonAllocators::All,
    };
    let memory = words(Session::words(&settings));
    let session = Session::create(&memory, &settings).unwrap();
    assert_eq!(Session::open(&memory).unwrap().settings(), &settings);
    assert!(session.ring(1).is_some() && session.ring(2).is_none());
    assert!(Session::open(&memory[..memory.len() - 1]).is_err());
}

#[test]
fn a_ring_has_one_owner_at_a_time() {
    let settings = Settings {
        mode: Mode::Sampled,
        sample_mean: 512 << 10,
        seed: 0,
        n_rings: 2,
        n_slots: 64,
        native_words: 0,
        python_allocators: PythonAllocators::Foreign,
    };
    let memory = words(Session::words(&settings));
    let session = Session::create(&memory, &settings).unwrap();
    let first = session.ring(session.claim(10, 0).unwrap()).unwrap();
    assert!(session.claim(11, 10).is_some());
    assert!(session.claim(12, 10).is_none());
    assert_eq!((session.take_refused(), session.n_claims()), (1, 2));
    first.push(allocation(1, 1).encode()).unwrap();
    assert_eq!(first.drain(9, Message::n_more, |_, _| {}), Drained::Empty);
    first.release();
    let again = session.ring(session.claim(12, 10).unwrap()).unwrap();
    assert_eq!((again.owner(), again.parent()), (Some(12), 10));
    assert_eq!(
        again.drain(9, Message::n_more, |_, _| panic!("a message of the former owner")),
        Drained::Empty
    );
}
