//! Nothing outlives the runner, whatever ends it, and whatever the service does against that.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use super::{Bench, exists, is_root, wait_for};
use crate::Ran;

/// Ignores every signal that can be ignored, starts two workers that do the same, and a daemon that leaves
/// its parents and its session; all listen on the port.
const STUBBORN: &str = r#"
import os, pathlib, signal, socket, sys, time

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
listener = socket.socket()
listener.bind(("127.0.0.1", port))
listener.listen()
for _ in range(2):
    if os.fork() == 0:
        time.sleep(600)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        (folder / "daemon").touch()
        time.sleep(600)
    os._exit(0)
with open(folder / "ports", "a") as ports:
    ports.write(f"{port}\n")
while True:
    time.sleep(600)
"#;

fn stubborn() -> Bench {
    stubborn_with("100ms")
}

/// With so much time to end by itself, which it does not use.
fn stubborn_with(stop_within: &str) -> Bench {
    let bench = Bench::new("", &[("stubborn.py", STUBBORN)]);
    let limit = if is_root() { "memory_limit = '1GiB'" } else { "" };
    bench.plan(&format!(
        "name = 'stubborn'\n[service]\ncommand = '{} {{port}} {}'\nready = {{ tcp = true }}\n\
         stop_within = '{stop_within}'\n{limit}\n[load]\nmodel = 'external'\ncommand = 'sleep 0.2'\n\
         [schedule]\nrepetitions = 50\nrounds = 1\nidle = '200ms'\nsample_every = '50ms'\n[[arm]]\nname = 'one'\n",
        bench.script("stubborn.py"),
        bench.folder.path().display()
    ));
    bench
}

/// Sends a signal to a process of this test.
fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory is involved; the process was just found in this test's own folder.
    #[allow(unsafe_code, reason = "std cannot send signals")]
    let sent = unsafe { libc::kill(pid, signal) };
    assert_eq!(sent, 0, "{pid}");
}

impl Bench {
    fn pids(&self) -> Vec<i32> {
        self.alive().iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
    }

    /// The child of a runner that looks after the service.
    fn keeper(&self, runner: i32) -> i32 {
        let parent = |pid: i32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
        };
        self.pids().into_iter().find(|pid| parent(*pid) == Some(runner)).unwrap()
    }

    #[track_caller]
    fn assert_no_port_is_left(&self) {
        let ports = fs::read_to_string(self.path("ports")).unwrap_or_default();
        for port in ports.lines().filter_map(|line| line.parse::<u16>().ok()) {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is still listened on");
        }
    }
}

#[test]
fn fault_45_a_runner_that_is_killed_anywhere_leaves_nothing() {
    let bench = stubborn();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // From before the keeper has its order to some trials later.
    for step in 0..24_u64 {
        let mut running = bench.start();
        std::thread::sleep(Duration::from_millis(step * step * 5));
        assert!(!running.has_ended(), "{}", Ran::from(running.output()).err);
        running.signal(libc::SIGKILL);
        drop(running);
        bench.assert_nothing_is_left();
        bench.assert_no_port_is_left();
    }
    let n_started = fs::read_to_string(bench.path("ports")).unwrap().lines().count();
    assert!(n_started >= 5, "services were running when the runner was killed: {n_started}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

#[test]
fn fault_45_ctrl_c_leaves_nothing_and_keeps_what_was_measured() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let bench = stubborn();
        let running = bench.start();
        wait_for("the daemon of a second trial", || {
            let n_started = fs::read_to_string(bench.path("ports")).unwrap_or_default().lines().count();
            if n_started > 1 { Ok(()) } else { Err(n_started.to_string()) }
        });
        running.signal(signal);
        let ran = Ran::from(running.output());
        assert_eq!(ran.code, 130, "{}", ran.err);
        assert!(ran.err.contains("the same command goes on from here"), "{}", ran.err);
        assert!(!bench.result()["trials"].as_array().unwrap().is_empty());
        assert_eq!(bench.alive(), [""; 0]);
        bench.assert_nothing_is_left();
        bench.assert_no_port_is_left();
    }
}

#[test]
fn fault_45_a_second_ctrl_c_ends_at_once_and_leaves_nothing() {
    let bench = stubborn_with("5s");
    let running = bench.start();
    wait_for("the daemon", || exists(&bench.path("daemon")));
    running.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(30));
    running.signal(libc::SIGINT);
    assert_eq!(Ran::from(running.output()).code, 130);
    // It did not wait for the service, which the keeper still gives its time.
    assert_ne!(bench.alive(), [""; 0]);
    bench.assert_nothing_is_left();
    bench.assert_no_port_is_left();
}

#[test]
fn fault_45_when_the_keeper_is_killed_the_runner_ends_what_it_had_started() {
    let bench = stubborn();
    let running = bench.start();
    wait_for("the daemon", || exists(&bench.path("daemon")));
    let before = bench.pids();
    let runner = running.pid();
    kill(bench.keeper(runner), libc::SIGKILL);
    // Those that were there are gone, while the runner goes on with the next trial.
    wait_for("the end of what the keeper had started", || {
        let left: Vec<String> = bench
            .alive()
            .into_iter()
            .filter(|line| before.iter().any(|pid| *pid != runner && line.starts_with(&format!("{pid} "))))
            .collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    wait_for("a trial after that", || {
        let trials = bench.result()["trials"].as_array().map_or(0, Vec::len);
        if trials > 0 { Ok(()) } else { Err("none".to_owned()) }
    });
    let voids = bench.result()["voids"].to_string();
    running.signal(libc::SIGINT);
    assert_eq!(Ran::from(running.output()).code, 130);
    assert!(
        voids.contains("its keeper was killed") || voids.contains("looks after the service was killed"),
        "{voids}"
    );
    bench.assert_nothing_is_left();
    bench.assert_no_port_is_left();
}

#[test]
fn fault_45_what_is_left_when_runner_and_keeper_are_killed_at_once_is_named_by_the_next_run() {
    let bench = stubborn();
    let running = bench.start();
    wait_for("the daemon", || exists(&bench.path("daemon")));
    let keeper = bench.keeper(running.pid());
    // Neither sees the other's end.
    kill(running.pid(), libc::SIGSTOP);
    kill(keeper, libc::SIGSTOP);
    kill(keeper, libc::SIGKILL);
    drop(running);

    let next = Bench::working("", "", 1);
    let ran = next.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    // The service itself has died with its keeper; two workers and the daemon have not.
    let left = bench.alive();
    assert_eq!(left.len(), 3, "{left:#?}");
    let named = ran.err.split("kill -KILL ").nth(1).and_then(|rest| rest.lines().next());
    let named: Vec<i32> =
        named.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    for line in &left {
        let pid: i32 = line.split(' ').next().unwrap().parse().unwrap();
        assert!(named.contains(&pid), "{line} is not named: {}", ran.err);
        kill(pid, libc::SIGKILL);
    }
    wait_for("their end", || if bench.alive().is_empty() { Ok(()) } else { Err("some live".to_owned()) });
    let ran = next.run();
    assert!(!left.iter().any(|line| ran.err.contains(line.split(' ').next().unwrap())), "{}", ran.err);
    bench.assert_nothing_is_left();
}
