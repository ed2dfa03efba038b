//! Attaching goes wrong: the tool dies in the middle of it, the target does, everybody allocates meanwhile.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use slackwater_base::Pid;
use slackwater_capture::transport::late::Late;
use slackwater_collect::{AttachError, Collector, Options, Stacks};
use slackwater_inject::Point;
use slackwater_procfs::Root;
use slackwater_testkit::{Program, Target, rounds};

use crate::attach::{agent, attached, patient, process};
use crate::recording::{EXACT, SAMPLED, program, while_turning};

/// Points that were passed so far.
static N_PASSED: AtomicU32 = AtomicU32::new(0);

/// Not a test of its own: the process that the tests below kill. It attaches and leaves until it dies.
#[test]
fn helper_that_is_killed_while_it_attaches() {
    let Ok(pid) = std::env::var("SLACKWATER_TEST_ATTACH") else { return };
    let process = Root::host().process(Pid(pid.parse().unwrap())).unwrap();
    let probe = |_: Point| {
        let passed = N_PASSED.fetch_add(1, Ordering::Relaxed).to_string();
        if std::env::var("SLACKWATER_TEST_DIE_AFTER").is_ok_and(|most| most == passed) {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        true
    };
    let options = slackwater_inject::Options { probe, ..patient() };
    loop {
        let mut collector = Collector::new(&EXACT, Vec::new()).unwrap();
        match agent().attach(&process, &collector.settings(), &options) {
            Ok(attached) => {
                collector.attached(process_again(&process), attached.memory);
                collector.turn().unwrap();
                let _ = agent().detach(&process, &options);
                collector.end().unwrap();
            }
            // The one before was killed.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn process_again(process: &slackwater_procfs::Process) -> slackwater_procfs::Process {
    Root::host().process(process.pid()).unwrap()
}

fn helper(target: &Target, die_after: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "attach_trouble::helper_that_is_killed_while_it_attaches", "--nocapture"]);
    command.env("SLACKWATER_TEST_ATTACH", target.pid().to_string());
    command.env("SLACKWATER_TEST_DIE_AFTER", die_after.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(40), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn fault_03_the_tool_is_killed_at_every_point_of_attaching_and_leaving() {
    // Three entries to attach, one to leave, with every point each.
    let points = 4 * Point::ALL.len() as u64;
    for round in rounds(points, 1000) {
        let die_after = round % points;
        let mut target = program!("late").spawn().unwrap();
        let mut helper = helper(&target, die_after);
        assert!(!helper.wait().unwrap().success());
        // Whatever was under way comes to its end by itself, and the target goes on.
        assert_eq!(target.ask("keep").unwrap(), "kept", "after {die_after} points");
        let status = process(&target).status().unwrap();
        assert_eq!(status.tracer, Some(0));
        // Where a recording was left behind it is forgotten after ten seconds; that is tried once.
        if die_after.is_multiple_of(7) {
            let collector = Collector::new(&EXACT, Vec::new()).unwrap();
            eventually("attaching again", || {
                agent().attach(&process(&target), &collector.settings(), &patient()).is_ok()
            });
            agent().detach(&process(&target), &patient()).unwrap();
            assert_eq!(target.ask("keep").unwrap(), "kept");
        }
    }
}

#[test]
fn fault_14_attached_and_left_while_32_threads_allocate_and_others_load_and_fork() {
    let storm = include_str!("../../../inject/tests/victims/storm.c");
    let program = Program::c("storm", storm).unwrap();
    let program = ["32", "1", "1", "2"].into_iter().fold(program, |program, count| program.arg(count));
    let mut target = program.spawn().unwrap();
    let [rounds_at, count] = target.greeting_numbers()[..] else { panic!("an address and a number") };
    let memory = std::fs::File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let progress = || -> Vec<u64> {
        use std::os::unix::fs::FileExt;
        let word = |n: u64| {
            let mut bytes = [0; 8];
            memory.read_exact_at(&mut bytes, rounds_at + 8 * n).unwrap();
            u64::from_le_bytes(bytes)
        };
        (0..count).map(word).collect()
    };
    for round in rounds(6, 5000) {
        let options = if round % 2 == 0 { &SAMPLED } else { &EXACT };
        let agent = agent();
        let mut collector = Collector::new(options, std::io::sink()).unwrap();
        let attached = agent.attach(&process(&target), &collector.settings(), &patient()).unwrap();
        collector.attached(process(&target), attached.memory);
        while_turning(&mut collector, || {
            std::thread::sleep(Duration::from_millis(100));
            let before = progress();
            eventually("progress of every thread", || {
                progress().iter().zip(&before).all(|(now, before)| now > before)
            });
            agent.detach(&process(&target), &patient()).unwrap();
        });
        let (summary, _) = collector.end().unwrap();
        assert!(summary.n_events > 0, "{summary:?}");
        let before = progress();
        eventually("progress of every thread", || {
            progress().iter().zip(&before).all(|(now, before)| now > before)
        });
    }
    assert_eq!(target.ask("still there").unwrap(), "");
}

#[test]
fn fault_06_the_target_is_killed_while_it_is_attached_to() {
    for round in rounds(10, 1000) {
        let target = program!("late").spawn().unwrap();
        let process = process(&target);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(round * 7 % 100));
            target.kill();
        });
        let mut collector = Collector::new(&EXACT, Vec::new()).unwrap();
        if let Ok(attached) = agent().attach(&process, &collector.settings(), &patient()) {
            collector.attached(process_again_or(&process), attached.memory);
            let _ = agent().detach(&process, &patient());
        }
        killer.join().unwrap();
        collector.turn().unwrap();
        collector.end().unwrap();
    }
}

/// A handle on it, dead or alive: of this test when it is gone already.
fn process_again_or(process: &slackwater_procfs::Process) -> slackwater_procfs::Process {
    let own = Pid(rustix::process::getpid().as_raw_nonzero().get());
    let root = Root::host();
    root.process(process.pid()).or_else(|_| root.process(own)).unwrap()
}

#[test]
fn memory_does_not_grow_with_the_number_of_recordings() {
    let mut target = program!("late").spawn().unwrap();
    let resident = |target: &Target| process(target).status().unwrap().rss_bytes.unwrap();
    let mut once = || {
        attached(&EXACT, &mut target, |target| assert_eq!(target.ask("keep").unwrap(), "kept"));
        resident(&target)
    };
    let first = once();
    let (mut last, mut n_recordings) = (first, 0);
    for _ in rounds(6, 1000) {
        last = once();
        n_recordings += 1;
    }
    // The program itself keeps 700 kB each time.
    let growth = last.saturating_sub(first) / n_recordings;
    assert!(growth < 1 << 20, "{growth} bytes for each recording");
}

#[test]
fn a_process_whose_addresses_are_limited_is_refused_until_the_limit_is_lifted() {
    let mut target = program!("late").spawn().unwrap();
    let pid = target.pid().to_string();
    let limit = |bytes: &str| {
        let done = Command::new("prlimit").args([&format!("--as={bytes}:unlimited"), "--pid", &pid]).status();
        assert!(done.unwrap().success());
    };
    let refused = |target: &Target, options: &Options, bytes: &str| {
        limit(bytes);
        let collector = Collector::new(options, Vec::new()).unwrap();
        let error = agent().attach(&process(target), &collector.settings(), &patient()).unwrap_err();
        assert!(matches!(error, AttachError::Refused { what: Some(Late::NoMemory), .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("prlimit --as=unlimited"));
        collector.end().unwrap();
    };
    refused(&target, &EXACT, "400000000");
    // Memory for native stacks is asked for where they are read.
    refused(&target, &Options { stacks: Stacks::Native, ..EXACT }, "700000000");
    attached(&EXACT, &mut target, |target| assert_eq!(target.ask("keep").unwrap(), "kept"));
    limit("unlimited");
    attached(&EXACT, &mut target, |target| assert_eq!(target.ask("keep").unwrap(), "kept"));
}
