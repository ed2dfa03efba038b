//! The ends that were not planned: of the target, of the collector, of the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slackwater_capture::Ending;
use slackwater_collect::Collector;
use slackwater_testkit::{Interpreter, Program, interpreters};

use crate::recording::{EXACT, Limited, SAMPLED, is_write, read, turn_until, under, while_turning};

fn python() -> &'static Interpreter {
    interpreters().iter().find(|one| one.is_plain()).expect("a Python")
}

/// Allocates all the time, and tells how often when asked.
fn busy() -> Program {
    let source = "
import threading
n = 0
def churn():
    global n
    while True:
        kept = [bytes(3000) for _ in range(10)]
        n += 1
threading.Thread(target=churn, daemon=True).start()
ready()
for _ in commands(): reply(n)
";
    Program::python(python(), "busy", source).unwrap()
}

#[test]
fn fault_29_a_killed_target_leaves_what_it_did_up_to_then() {
    for delay_ms in [0, 3, 17, 60] {
        let mut collector = Collector::begin(&EXACT, Vec::new()).unwrap();
        let program = under(&collector, &busy());
        while_turning(&mut collector, || {
            let target = program.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(delay_ms));
            target.kill();
        });
        // It is noticed without being told.
        let end = Instant::now() + Duration::from_secs(60);
        while collector.turn().unwrap().n_processes > 0 {
            assert!(Instant::now() < end, "its death was not noticed");
        }
        let (summary, bytes) = collector.end().unwrap();
        let (told, gaps) = read(&bytes);
        assert_eq!(gaps, []);
        let told = told.values().next().unwrap();
        assert_eq!(told.ending, Some(Ending::Gone));
        assert!(told.n_allocations > 1000 && summary.n_events > 1000, "{}", told.n_allocations);
    }
}

/// Writes into the memory that a collector shares with its processes whatever it likes: any words, such as
/// look like messages, and such as say who is whose.
fn forge(memory: &File, round: u64) {
    /// The session's own words.
    const HEAD_BYTES: u64 = 512;
    /// A few rings, with the words that say who has them.
    const WORDS: usize = 400_000;
    let mut state = round.wrapping_add(1);
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 31
    };
    let own = u64::from(std::process::id());
    let word = |_| match random() % 6 {
        0 => 0,
        1 => u64::MAX - random() % 9,
        2 => (random() % 16) | ((random() % 1024) << 8),
        3 => own,
        _ => random(),
    };
    let bytes: Vec<u8> = (0..WORDS).map(word).flat_map(u64::to_le_bytes).collect();
    memory.write_all_at(&bytes, HEAD_BYTES).unwrap();
}

/// Sets a flag, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn fault_35_whatever_is_written_into_the_shared_memory_is_bounded() {
    for options in [&EXACT, &SAMPLED] {
        let mut collector = Collector::begin(options, Vec::new()).unwrap();
        let memory = File::options().read(true).write(true).open(collector.path()).unwrap();
        let n_bytes = memory.metadata().unwrap().len();
        assert!(memory.set_len(n_bytes / 2).is_err(), "it can be taken away");
        let end = Instant::now() + Duration::from_secs(100);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // While the collector reads, and between.
            scope.spawn(|| {
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    forge(&memory, round);
                }
            });
            let _done = Done(&done);
            for round in 0..20 {
                forge(&memory, round * 7);
                collector.turn().unwrap();
                assert!(Instant::now() < end, "turn {round} is late");
            }
            let (_, bytes) = collector.end().unwrap();
            assert!(Instant::now() < end, "it did not end");
            let (_, gaps) = read(&bytes);
            assert_eq!(gaps, [], "what is written is a capture");
        });
    }
}

/// Whether the target still makes progress.
fn lives(target: &mut slackwater_testkit::Target) -> bool {
    let mut count = || target.ask_numbers("how many").unwrap()[0];
    let before = count();
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if count() > before {
            return true;
        }
    }
    false
}

#[test]
fn fault_28_a_full_disk_ends_the_recording_and_nothing_else() {
    let limit = 100_000;
    let mut collector = Collector::begin(&EXACT, Limited { bytes: Vec::new(), limit }).unwrap();
    let program = under(&collector, &busy());
    let mut target = std::thread::scope(|scope| {
        let turning = scope.spawn(|| {
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                assert!(Instant::now() < end, "the disk never filled");
                if let Err(error) = collector.turn() {
                    break error;
                }
            }
        });
        let target = program.spawn().unwrap();
        let error = turning.join().unwrap();
        assert!(is_write(&error), "{error}");
        target
    });
    // Nobody drains any more, and nobody waits.
    assert!(lives(&mut target));
    drop(collector);
    assert!(lives(&mut target));
}

#[test]
fn fault_03_a_collector_that_is_gone_costs_the_target_nothing() {
    for options in [&EXACT, &SAMPLED] {
        let mut collector = Collector::begin(options, Vec::new()).unwrap();
        let program = under(&collector, &busy());
        let mut target = while_turning(&mut collector, || program.spawn().unwrap());
        // As after a SIGKILL: no end is said, the memory's other mapping and its path are gone.
        drop(collector);
        assert!(lives(&mut target));
        assert!(lives(&mut target));
    }
}

#[test]
fn threads_are_called_as_the_kernel_calls_them() {
    let mut collector = Collector::begin(&EXACT, Vec::new()).unwrap();
    let program = under(&collector, &busy());
    let target = while_turning(&mut collector, || program.spawn().unwrap());
    let name = std::fs::read_to_string(format!("/proc/{}/comm", target.pid())).unwrap();
    // The collector is at its work all the while, so each is met while it lives.
    let (_, bytes) = collector.end().unwrap();
    let (told, _) = read(&bytes);
    let told = told.values().next().unwrap();
    assert!(told.threads.contains(&told.pid), "the main thread allocates, too");
    assert_eq!(told.names.get(&told.pid).map(String::as_str), Some(name.trim_end()));
    // Newer Pythons rename theirs, and who looks then may see either name.
    assert!(told.threads.iter().all(|tid| told.names.contains_key(tid)), "{:?}", told.names);
}

#[test]
fn when_events_come_too_fast_for_the_collector_samples_go_on_and_it_is_said() {
    let mut collector = Collector::begin(&EXACT, Vec::new()).unwrap();
    let program = under(&collector, &busy());
    let mut target = while_turning(&mut collector, || program.spawn().unwrap());
    // The collector does not come round for a second.
    std::thread::sleep(Duration::from_secs(1));
    assert!(lives(&mut target));
    let end = Instant::now() + Duration::from_millis(300);
    turn_until(&mut collector, || Instant::now() >= end);
    let (summary, bytes) = collector.end().unwrap();
    assert_eq!(summary.n_degraded, 1);
    assert!(summary.n_lost > 0);
    let (told, _) = read(&bytes);
    let told = told.values().next().unwrap();
    assert!(told.degraded);
    assert_eq!(told.n_lost, summary.n_lost, "the capture says it, too");
}
