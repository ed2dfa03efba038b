//! What must not go wrong, each made to go wrong: rows 1 to 6 of the fault matrix.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use common::{Peek, eventually, process, program, text, trim, trim_call, until_blocked, victim};
use rustix::process::{Signal, kill_process};
use slackwater_base::Pid;
use slackwater_inject::{InjectError, Options, Point, Target};
use slackwater_procfs::{Root, State};
use slackwater_testkit::{Rounds, rounds};

const SPINNER: &str = include_str!("victims/spinner.c");
const STORM: &str = include_str!("victims/storm.c");
const WAITS: &str = include_str!("victims/waits.c");

/// Enters a storm again and again, while no thread may stand still for long.
fn storm(name: &str, threads: &[&str], entering: Rounds) {
    let program = threads.iter().fold(program("storm", STORM), |program, count| program.arg(count));
    let mut victim = program.spawn().unwrap();
    let process = process(&victim);
    let [rounds, count] = victim.greeting_numbers()[..] else { panic!("an address and a number") };
    let peek = Peek::at(&victim);
    let done = AtomicBool::new(false);
    let (mut entries, mut refused, mut stops) = (0, 0, 0);
    let (mut longest_stop, mut longest_call) = (Duration::ZERO, Duration::ZERO);
    std::thread::scope(|scope| {
        let watchdog = scope.spawn(|| {
            let words = || (0..count).map(|n| peek.word(rounds + 8 * n)).collect::<Vec<_>>();
            let mut last = words();
            let mut moved = vec![Instant::now(); last.len()];
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                for (n, now) in words().into_iter().enumerate() {
                    if now != last[n] {
                        longest = longest.max(moved[n].elapsed());
                        (last[n], moved[n]) = (now, Instant::now());
                    }
                }
                longest = moved.iter().map(Instant::elapsed).fold(longest, Duration::max);
            }
            longest
        });
        for _ in entering {
            match trim(&process, &Options { search: Duration::from_millis(300), ..Options::default() }) {
                Ok(outcome) => {
                    assert!(outcome.finished, "{outcome:?}");
                    entries += 1;
                    stops += outcome.refusals;
                    longest_stop = longest_stop.max(outcome.stopped);
                    longest_call = longest_call.max(outcome.ran);
                }
                Err(InjectError::Refused { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        let longest = watchdog.join().unwrap();
        eprintln!(
            "{name}: {entries} entries, {refused} refused, {stops} threads let go untouched; \
            longest stop {longest_stop:?}, call {longest_call:?}, standstill {longest:?}"
        );
        // With many threads on few processors the scheduler alone makes one wait.
        assert!(longest < Duration::from_secs(3), "a thread stood still for {longest:?}");
    });
    if threads.len() == 4 {
        // The main thread waits in read(2) all along.
        assert_eq!(victim.ask("still there").unwrap(), "");
        assert!(entries > 0);
    }
}

#[test]
fn fault_01_malloc_storm() {
    storm("malloc", &["32", "0", "0", "2"], rounds(30, 10_000));
}

#[test]
fn fault_01_loader_storm() {
    storm("loader", &["2", "4", "0", "2"], rounds(30, 10_000));
}

#[test]
fn fault_01_fork_storm() {
    storm("fork", &["2", "0", "4", "2"], rounds(30, 10_000));
}

/// Every thread allocates, loads or forks all the time: the proof has to find the gaps.
#[test]
fn fault_01_nobody_waits() {
    storm("nobody waits", &["4", "2", "1", "0", "busy"], rounds(30, 10_000));
}

#[test]
fn fault_02_a_stopped_process_is_refused_and_stays_stopped() {
    let mut victim = victim("waits", WAITS);
    let process = process(&victim);
    victim.signal(libc::SIGSTOP);
    eventually("stopping", || process.stat().unwrap().state == State::Stopped);
    let error = trim(&process, &Options::default()).unwrap_err();
    assert!(matches!(error, InjectError::Stopped { .. }), "{error}");
    assert_eq!(process.stat().unwrap().state, State::Stopped);
    victim.signal(libc::SIGCONT);
    assert_eq!(victim.ask("poll").unwrap(), "waiting");
    victim.send("wake").unwrap();
    assert_eq!(victim.answer("poll").unwrap(), "1 0 1 1");
}

#[test]
fn fault_02_stopped_while_we_stop_it() {
    let mut victim = victim("waits", WAITS);
    let process = process(&victim);
    let mut refused = 0;
    for round in rounds(50, 1000) {
        let target = Target::open(&process).unwrap();
        let call = trim_call(&target);
        std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(round % 50 * 40));
                let pid = rustix::process::Pid::from_raw(process.pid().0).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
            });
            // A process that is stopped in the middle of the call finishes it when it is continued.
            let options = Options { patience: Duration::from_millis(5), ..Options::default() };
            refused += usize::from(target.call(&call, &options).is_err());
            stopper.join().unwrap();
        });
        eventually("stopping", || process.stat().unwrap().state == State::Stopped);
        victim.signal(libc::SIGCONT);
        eventually("continuing", || process.stat().unwrap().state != State::Stopped);
    }
    eprintln!("{refused} refused");
    assert_eq!(victim.ask("poll").unwrap(), "waiting");
    victim.send("wake").unwrap();
    assert_eq!(victim.answer("poll").unwrap(), "1 0 1 1");
}

/// Not a test of its own: the process that the tests below kill. It enters until it dies.
#[test]
fn helper_that_is_killed() {
    let Ok(pid) = std::env::var("SLACKWATER_TEST_ENTER") else { return };
    let process = Root::host().process(Pid(pid.parse().unwrap())).unwrap();
    let probe = |point: Point| {
        if std::env::var("SLACKWATER_TEST_DIE_AT").is_ok_and(|name| name == format!("{point:?}")) {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        true
    };
    // The first line tells the test that everything is loaded and the entries begin.
    eprintln!("entering");
    loop {
        let _ = trim(&process, &Options { probe, ..Options::default() });
    }
}

fn killed_helper(pid: Pid, die_at: Option<Point>) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "helper_that_is_killed", "--nocapture"]);
    command.env("SLACKWATER_TEST_ENTER", pid.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(point) = die_at {
        command.env("SLACKWATER_TEST_DIE_AT", format!("{point:?}"));
    }
    command.spawn().unwrap()
}

/// Kills the tool `times` while it enters the spinner: at every point in turn, or after a delay.
fn kill_the_tool(arguments: &[&str], times: Rounds, point: impl Fn(u64) -> Option<Point>) {
    let program =
        arguments.iter().fold(program("spinner", SPINNER), |program, argument| program.arg(argument));
    let mut victim = program.spawn().unwrap();
    let process = process(&victim);
    let [counter, stop, _] = victim.greeting_numbers()[..] else { panic!("three addresses") };
    let peek = Peek::at(&victim);
    let text_before = text(&process, &peek);
    let mappings_before = process.maps().unwrap().len();
    victim.send("spin").unwrap();
    eventually("spinning", || peek.word(counter) > 0);
    for time in times {
        let mut helper = killed_helper(victim.pid(), point(time));
        if point(time).is_none() {
            use std::io::{BufRead, BufReader};
            let mut lines = BufReader::new(helper.stderr.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains("entering")));
            // Odd steps over a few entries' time, so that every instant of an entry is met.
            std::thread::sleep(Duration::from_micros(time * 137 % 20_000));
            helper.kill().unwrap();
        }
        assert!(!helper.wait().unwrap().success());
        let before = peek.word(counter);
        eventually("progress after the tool's death", || peek.word(counter) > before);
        let status = process.status().unwrap();
        assert_eq!(status.tracer, Some(0));
        assert_eq!(status.state, Some(State::Running));
    }
    assert!(text(&process, &peek) == text_before, "code was changed");
    assert_eq!(process.maps().unwrap().len(), mappings_before);
    peek.set_flag(stop);
    let answer = victim.answer("the spinner's findings").unwrap();
    assert!(answer.starts_with("0 "), "{answer}");
}

#[test]
fn fault_03_the_tool_is_killed_at_every_point() {
    kill_the_tool(&[], rounds(25, 1000), |time| Some(Point::ALL[time as usize % Point::ALL.len()]));
}

#[test]
fn fault_03_the_tool_is_killed_at_any_time() {
    kill_the_tool(&["timer"], rounds(100, 10_000), |_| None);
}

#[test]
fn fault_03_giving_up_at_every_point_changes_nothing() {
    let mut victim = victim("waits", WAITS);
    let process = process(&victim);
    let peek = Peek::at(&victim);
    let text_before = text(&process, &peek);
    for how in ["poll", "epoll", "ppoll_mask"] {
        assert_eq!(victim.ask(how).unwrap(), "waiting");
        until_blocked(&process);
        let give_up: [fn(Point) -> bool; 5] = [
            |point| point != Point::Searching,
            |point| point != Point::Stopped,
            |point| point != Point::Read,
            |point| point != Point::Proven,
            |point| point != Point::Written,
        ];
        for probe in give_up {
            let error = trim(&process, &Options { probe, ..Options::default() }).unwrap_err();
            assert!(matches!(error, InjectError::GivenUp(_)), "{error}");
        }
        victim.send("wake").unwrap();
        assert_eq!(victim.answer(how).unwrap(), "1 0 1 1", "{how}");
    }
    assert!(text(&process, &peek) == text_before, "code was changed");
}

/// A server opens and closes connections all the time: a file may get the number that another one had just
/// before, and is found all the same. None is left open.
#[test]
fn files_are_made_while_descriptors_come_and_go() {
    let source = r#"
        #include "planted.h"
        #include <pthread.h>
        enum { COUNT = 32 };
        static void *churn(void *unused) {
            for (int opened[COUNT];;) {
                for (int i = 0; i < COUNT; i++) opened[i] = dup(1);
                for (int i = 0; i < COUNT; i++) close(opened[i]);
            }
            return unused;
        }
        int main(void) {
            pthread_t thread;
            pthread_create(&thread, NULL, churn, NULL);
            ready("%d", 1);
            serve();
        }"#;
    let mut victim = victim("churn", source);
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    for round in 0..40 {
        let made = target.make_files(["one", "two"], &common::patient());
        let (files, _) = made.unwrap_or_else(|error| panic!("{round}: {error:?}"));
        target.close_files(&files, &common::patient()).unwrap();
    }
    let links = std::fs::read_dir(format!("/proc/{}/fd", victim.pid())).unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(links.filter(|link| link.to_string_lossy().contains("memfd:")).count(), 0);
    assert_eq!(victim.ask("still there").unwrap(), "");
}

/// With no descriptor left nothing can be handed over, and that is said.
#[test]
fn a_process_without_a_free_descriptor_is_named_so() {
    let source = r#"
        #include "planted.h"
        #include <sys/resource.h>
        int main(void) {
            struct rlimit limit = {16, 16};
            setrlimit(RLIMIT_NOFILE, &limit);
            while (dup(1) >= 0) {}
            ready("%d", 1);
            serve();
        }"#;
    let mut victim = victim("full", source);
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    let error = target.make_files(["one", "two"], &common::patient()).unwrap_err();
    let InjectError::Hand { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::EMFILE), "{error:?}");
    assert_eq!(victim.ask("still there").unwrap(), "");
}

/// A tracer that came first is named, and stays.
fn traced_by(tool: &str, arguments: &[&str]) {
    let victim = victim("waits", WAITS);
    let process = process(&victim);
    let spawned = Command::new(tool)
        .args(arguments)
        .arg(victim.pid().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut tracer) = spawned else {
        eprintln!("skipped: {tool} is not installed");
        return;
    };
    eventually("tracing", || process.status().unwrap().tracer != Some(0));
    let error = trim(&process, &Options::default()).unwrap_err();
    let expected = Pid(tracer.id() as i32);
    assert!(matches!(error, InjectError::Traced { tracer, .. } if tracer == expected), "{error}");
    assert_eq!(process.status().unwrap().tracer, Some(expected.0));
    tracer.kill().unwrap();
    tracer.wait().unwrap();
}

#[test]
fn fault_04_strace_came_first() {
    traced_by("strace", &["-o", "/dev/null", "-p"]);
}

#[test]
fn fault_04_gdb_came_first() {
    traced_by("gdb", &["-q", "-nx", "-p"]);
}

#[test]
fn fault_06_the_target_is_killed_while_it_is_entered() {
    let mut reports = std::collections::BTreeMap::<String, u32>::new();
    for round in rounds(40, 1000) {
        let victim = victim("waits", WAITS);
        let process = process(&victim);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round % 40 * 300));
            victim.kill();
        });
        let report = match trim(&process, &Options::default()) {
            Ok(outcome) => format!("entered, finished {}", outcome.finished),
            Err(InjectError::Gone { .. }) => "gone".to_owned(),
            Err(InjectError::Refused { .. }) => "refused".to_owned(),
            Err(error) => panic!("{error}: {error:?}"),
        };
        *reports.entry(report).or_default() += 1;
        killer.join().unwrap();
    }
    eprintln!("{reports:?}");
}

/// Killed at every point of an entry, and dead before the entry goes on.
#[test]
fn fault_06_the_target_is_killed_at_each_point() {
    static VICTIM: AtomicI32 = AtomicI32::new(0);
    fn kill(at: Point, now: Point) -> bool {
        let pid = Pid(VICTIM.load(Ordering::Relaxed));
        if at == now && kill_process(rustix::process::Pid::from_raw(pid.0).unwrap(), Signal::KILL).is_ok() {
            let is_dead = || Root::host().process(pid).and_then(|p| p.stat()).map(|stat| stat.state);
            eventually("dying", || matches!(is_dead(), Err(_) | Ok(State::Zombie)));
        }
        true
    }
    for (point, probe) in [
        (Point::Searching, (|now| kill(Point::Searching, now)) as fn(Point) -> bool),
        (Point::Stopped, |now| kill(Point::Stopped, now)),
        (Point::Read, |now| kill(Point::Read, now)),
        (Point::Proven, |now| kill(Point::Proven, now)),
        (Point::Written, |now| kill(Point::Written, now)),
        (Point::Released, |now| kill(Point::Released, now)),
    ] {
        let victim = victim("waits", WAITS);
        let process = process(&victim);
        VICTIM.store(victim.pid().0, Ordering::Relaxed);
        match trim(&process, &Options { probe, ..Options::default() }) {
            // The call may have been made before it died.
            Ok(_) => assert_eq!(point, Point::Released),
            Err(error) => assert!(matches!(error, InjectError::Gone { .. }), "{point:?}: {error:?}"),
        }
    }
}

#[test]
fn fault_06_the_target_becomes_another_program() {
    let mut victim = victim(
        "exec_later",
        r#"
        #include "planted.h"
        int main(int argc, char **argv) {
            ready("%d", argc);
            next_command();
            execv("/proc/self/exe", argv);
        }"#,
    );
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    let call = trim_call(&target);
    victim.send("exec").unwrap();
    // The new program greets as the old one did.
    assert!(victim.answer("the new program").unwrap().starts_with("ready"));
    let error = target.call(&call, &Options::default()).unwrap_err();
    assert!(matches!(error, InjectError::Gone { .. }), "{error}");
    eventually("waiting for commands", || process.stat().unwrap().state == State::Sleeping);
}
