//! Bad input: a one-line error, its cause, a hint, the right exit code, and partial results kept.

use std::os::unix::process::CommandExt;
use std::process::Command;

use slackwater_base::Pid;
use slackwater_procfs::Root;

use crate::{retaining, run, slackwater};

const NOBODY: u32 = 65534;

#[track_caller]
fn check(words: &str, code: i32, error: &str) {
    let ran = run(words);
    assert_eq!(ran.code, code, "{words}: {}{}", ran.out, ran.err);
    assert_eq!(ran.out, "", "{words}");
    let first = ran.err.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.contains(error), "{words}: {}", ran.err);
}

/// Waits until /proc says so: the kernel reports a signal's effect a moment after it was sent.
pub(crate) fn wait_for_state(pid: Pid, state: &str) {
    let path = format!("/proc/{pid}/stat");
    for _ in 0..2000 {
        let stat = std::fs::read_to_string(&path).unwrap();
        if stat.rsplit(") ").next().unwrap().starts_with(state) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("process {pid} is not in state {state}");
}

#[test]
fn what_does_not_make_sense_is_usage() {
    check("diagnose", 2, "required");
    check("diagnose --pid 0", 2, "invalid value");
    check("diagnose --pid 1 --all", 2, "cannot be used with");
    check("diagnose --pid 1 --for 5apples", 2, "invalid value");
    check("trim --all --above many", 2, "invalid value");
    check("explain", 2, "unrecognized subcommand");
}

#[test]
fn fault_06_a_process_that_is_not_there() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    for verb in ["diagnose", "trim"] {
        check(&format!("{verb} --pid {pid}"), 4, "there is no process");
    }
    check("diagnose --name no-such-service-anywhere", 4, "no service is called");
    check("diagnose --cgroup /no/such/group", 4, "no Python service runs in cgroup");
}

#[test]
fn fault_06_a_zombie_and_a_kernel_thread() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = Pid(child.id() as i32);
    wait_for_state(pid, "Z");
    check(&format!("diagnose --pid {pid}"), 4, "is a zombie");
    child.wait().unwrap();
    // The kernel's own threads are in the outermost pid namespace only.
    if Root::host().process(Pid(2)).is_ok_and(|process| process.stat().unwrap().is_kernel_thread()) {
        check("diagnose --pid 2", 4, "is a kernel thread");
    } else {
        eprintln!("not tested: there is no kernel thread here");
    }
}

#[test]
fn fault_02_a_stopped_process_can_be_read_and_stays_stopped() {
    let target = retaining();
    target.signal(libc::SIGSTOP);
    wait_for_state(target.pid(), "T");
    let ran = run(&format!("diagnose --pid {}", target.pid()));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("verdict: retention"), "{}", ran.out);
    wait_for_state(target.pid(), "T");
}

#[test]
fn fault_07_another_users_process_gives_what_may_be_known_and_names_the_fix() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can become another user");
        return;
    }
    let target = retaining();
    // The binary may lie below a folder that only root can enter; a copy is for everyone.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = folder.path().join("slackwater");
    std::fs::copy(slackwater("").get_program(), &copy).unwrap();
    let as_nobody = |words: String| {
        let output = Command::new(&copy).args(words.split(' ')).uid(NOBODY).gid(NOBODY).output().unwrap();
        crate::Ran::from(output)
    };

    let ran = as_nobody(format!("diagnose --pid {}", target.pid()));
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("RSS") && ran.out.contains("verdict: undetermined"), "{}", ran.out);
    assert!(ran.err.contains("not permitted") && ran.err.contains("doctor --pid"), "{}", ran.err);

    let ran = as_nobody(format!("trim --pid {}", target.pid()));
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    let ran = as_nobody(format!("doctor --pid {}", target.pid()));
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("FAIL") && ran.out.contains("fix:"), "{}", ran.out);
}

#[test]
fn a_program_that_is_not_python_is_diagnosed_too() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let ran = run(&format!("diagnose --pid {}", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("verdict: steady"), "{}", ran.out);
}

#[test]
fn fault_06_a_service_that_ends_while_it_is_looked_at() {
    // Killed at random points of a walk: a clean answer or a clean refusal, never anything else.
    for delay in slackwater_testkit::rounds(12, 1000) {
        let target = retaining();
        let child = slackwater(&format!("diagnose --pid {} --json", target.pid()))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay % 12 * 2));
        target.kill();
        let ran = crate::Ran::from(child.wait_with_output().unwrap());
        match ran.code {
            0 => assert!(serde_json::from_str::<serde_json::Value>(&ran.out).is_ok(), "{}", ran.out),
            4 => assert!(ran.err.starts_with("error: "), "{}", ran.err),
            code => panic!("exit code {code}: {}{}", ran.out, ran.err),
        }
    }
}
