//! The checks on real processes: each refusal is brought about, not imagined.
//!
//! Rights belong to threads, so a test gives up its rights in a thread and looks from there.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says where and why it cannot go on")]

use rustix::thread::{CapabilitySet, Gid, Uid};
use slackwater_base::Pid;
use slackwater_procfs::Root;
use slackwater_remote::access::{Check, Facts, Outcome, Purpose, is_possible, judge};
use slackwater_testkit::{Linking, Program, Target};

mod rights;

const NOBODY: u32 = 65534;

/// A program that becomes what the test's argument says, then greets with the pid to look at.
const BECOME: &str = r#"
#include "planted.h"
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static int nobody(int dumpable) {
    return setgroups(0, NULL) | setresgid(65534, 65534, 65534) | setresuid(65534, 65534, 65534)
        | prctl(PR_SET_DUMPABLE, dumpable);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "itself";
    pid_t pid = getpid();
    if (is(what, "nobody")) {
        if (nobody(1)) return 4;
    } else if (is(what, "undumpable")) {
        if (nobody(0)) return 4;
    } else if (is(what, "zombie")) {
        if ((pid = fork()) == 0) _exit(0);
        siginfo_t info;
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    } else if (is(what, "traced")) {
        if ((pid = fork()) == 0) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
        }
        waitpid(pid, NULL, 0);
    } else if (is(what, "elsewhere")) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS)) return 4;
        if ((pid = fork()) == 0) for (;;) pause();
    }
    ready("%d", pid);
    serve();
    return 0;
}
"#;

fn become_(what: &str) -> (Target, Pid) {
    let target = Program::c("become", BECOME).unwrap().arg(what).spawn().unwrap();
    let pid = target.greeting().parse().unwrap();
    (target, Pid(pid))
}

/// The checks, with the fixes of a host: in a container the fix is another line.
fn checks(pid: Pid) -> Vec<Check> {
    judge(&Facts { container: None, ..Facts::gather(&Root::host(), pid) })
}

/// The checks as a thread sees them that has first done `give_up`.
fn after(give_up: impl FnOnce() + Send, pid: Pid) -> Vec<Check> {
    let looking = || {
        give_up();
        checks(pid)
    };
    std::thread::scope(|scope| scope.spawn(looking).join().unwrap())
}

fn as_nobody(pid: Pid) -> Vec<Check> {
    let give_up = || {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    };
    after(give_up, pid)
}

fn fails(checks: &[Check], name: &str, cause: &str, fix: &str) {
    match checks.iter().find(|check| check.name == name).map(|check| &check.outcome) {
        Some(Outcome::Fail { cause: why, fix: how }) => {
            assert!(why.contains(cause), "{why:?} lacks {cause:?}");
            assert!(how.contains(fix), "{how:?} lacks {fix:?}");
        }
        _ => panic!("{name} does not fail in {checks:#?}"),
    }
}

fn detail(checks: &[Check], name: &str) -> String {
    match checks.iter().find(|check| check.name == name).map(|check| &check.outcome) {
        Some(Outcome::Pass { detail } | Outcome::Note { detail }) => detail.clone(),
        _ => panic!("{name} fails or is missing in {checks:#?}"),
    }
}

fn possible(checks: &[Check]) -> Vec<Purpose> {
    Purpose::ALL.iter().copied().filter(|purpose| is_possible(checks, *purpose)).collect()
}

/// Whether we have every right that these tests take away; said when we do not.
fn is_full_root() -> bool {
    let needed = CapabilitySet::SYS_PTRACE | CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID;
    let held = rustix::thread::capabilities(None).unwrap().effective;
    let full = rustix::process::geteuid().is_root() && held.contains(needed);
    if !full {
        eprintln!("not tested here: it needs root with {needed:?}, this is {held:?}");
    }
    full
}

#[test]
fn root_may_do_everything_and_leaves_no_trace() {
    if !is_full_root() {
        return;
    }
    let (mut target, pid) = become_("itself");
    let process = Root::host().process(pid).unwrap();
    // From here on it only goes round a loop whose pages it has touched.
    target.ask("settle").unwrap();
    target.ask("settle").unwrap();
    let state = || (process.stat().unwrap().minor_faults, process.usage().unwrap().rss_bytes);
    let before = state();
    let found = checks(pid);
    assert_eq!(state(), before);
    assert_eq!(possible(&found), Purpose::ALL, "{found:#?}");
    assert_eq!(detail(&found, "memory"), "process_vm_readv is permitted");
    assert!(detail(&found, "executable").contains("ld-linux"));
    target.ask("still there").unwrap();
}

#[test]
fn fault_07_another_users_process() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("itself");
    let found = as_nobody(pid);
    fails(&found, "pages", "runs as user 0, we as user 65534", "as root (sudo)");
    fails(&found, "memory", "process_vm_readv says EPERM", "as root (sudo)");
    fails(&found, "ptrace", "/proc/PID/mem", "as root (sudo)");
    assert_eq!(possible(&found), []);
}

#[test]
fn fault_07_our_own_process_without_capabilities() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("nobody");
    let found = as_nobody(pid);
    fails(&found, "frame numbers", "CAP_SYS_ADMIN", "PSS");
    assert!(
        found
            .iter()
            .any(|check| check.name == "mapped files" && matches!(check.outcome, Outcome::Note { .. }))
    );
    match Root::host().sysctl("kernel/yama/ptrace_scope").as_deref() {
        None | Some("0") => {
            assert_eq!(possible(&found), [Purpose::Classes, Purpose::Heaps, Purpose::Enter], "{found:#?}");
        }
        Some(_) => fails(&found, "memory", "kernel.yama.ptrace_scope", "sysctl"),
    }
}

#[test]
fn fault_07_a_process_that_is_not_dumpable() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("undumpable");
    let found = as_nobody(pid);
    fails(&found, "pages", "not dumpable", "as root (sudo)");
    fails(&found, "memory", "not dumpable", "as root (sudo)");
    assert_eq!(possible(&checks(pid)), Purpose::ALL);
}

#[test]
fn fault_07_root_with_a_dropped_capability() {
    if !is_full_root() {
        return;
    }
    let without = |dropped: CapabilitySet| {
        move || {
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective -= dropped;
            sets.permitted -= dropped;
            rustix::thread::set_capabilities(None, sets).unwrap();
        }
    };
    let (_target, pid) = become_("itself");
    let found = after(without(CapabilitySet::SYS_PTRACE), pid);
    fails(&found, "memory", "holds capabilities that we do not", "run it with CAP_SYS_PTRACE");

    let (_target, pid) = become_("nobody");
    let found = after(without(CapabilitySet::SYS_PTRACE), pid);
    fails(&found, "memory", "without CAP_SYS_PTRACE", "run it with CAP_SYS_PTRACE");
    let found = after(without(CapabilitySet::SYS_ADMIN), pid);
    assert_eq!(possible(&found), [Purpose::Classes, Purpose::Heaps, Purpose::Enter]);
}

#[test]
fn fault_02_a_stopped_process_can_be_read_and_stays_stopped() {
    let (target, pid) = become_("itself");
    target.signal(libc::SIGSTOP);
    let process = Root::host().process(pid).unwrap();
    // The stop is asynchronous; it takes effect when the process is next scheduled.
    while process.stat().unwrap().state != slackwater_procfs::State::Stopped {
        std::thread::yield_now();
    }
    let found = checks(pid);
    fails(&found, "stopped", "it is stopped", &format!("kill -CONT {pid}"));
    assert!(!possible(&found).contains(&Purpose::Enter));
    assert_eq!(process.stat().unwrap().state, slackwater_procfs::State::Stopped);
}

#[test]
fn fault_04_the_tracer_is_named() {
    let (target, pid) = become_("traced");
    let tracer = format!("(pid {})", target.pid());
    let found = checks(pid);
    fails(&found, "tracer", "traces it", &tracer);
    assert!(!possible(&found).contains(&Purpose::Enter));
}

#[test]
fn fault_09_the_pid_inside_other_namespaces_is_given() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("elsewhere");
    let found = checks(pid);
    let detail = detail(&found, "namespaces");
    assert!(detail.contains("pid, mount, user; there it is pid 1"), "{detail}");
    assert_eq!(possible(&found), Purpose::ALL, "{found:#?}");
}

#[test]
fn fault_13_pid_1_of_a_container_is_a_process_like_others() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("elsewhere");
    let process = Root::host().process(pid).unwrap();
    assert_eq!(process.status().unwrap().innermost_pid(), Some(1));
    assert_eq!(possible(&checks(pid)), Purpose::ALL);
    let status = process.status().unwrap();
    assert_eq!((status.signals_pending, status.signals_shared_pending), (Some(0), Some(0)));
    assert_ne!(status.state, Some(slackwater_procfs::State::Stopped));
}

#[test]
fn what_is_no_process_of_a_program() {
    let (_target, zombie) = become_("zombie");
    let found = checks(zombie);
    fails(&found, "process", "has exited", "parent");
    assert_eq!(found.len(), 1, "{found:#?}");

    // PID_MAX_LIMIT is 4194304, so no process ever has this one.
    fails(&checks(Pid(4_194_305)), "process", "there is no process 4194305", "look it up");

    let daemon = Root::host().process(Pid(2));
    match daemon.and_then(|process| process.stat()) {
        Ok(stat) if stat.is_kernel_thread() => {
            fails(&checks(Pid(2)), "process", "thread of the kernel", "a program");
        }
        _ => eprintln!("not tested here: no kernel thread in this pid namespace"),
    }
}

#[test]
fn fault_11_static_and_musl_executables() {
    let fixed = Program::c_linked("become_static", BECOME, Linking::Static, &[]).unwrap().spawn().unwrap();
    assert!(detail(&checks(fixed.pid()), "executable").contains("x86-64, static:"));

    let source = "#include <unistd.h>\nint main(void) { write(1, \"ready\\n\", 6); char c; read(0, &c, 1); }";
    match Program::compiled("musl-gcc", "musl", source, Linking::Dynamic, &[]).and_then(|musl| musl.spawn()) {
        Ok(musl) => fails(&checks(musl.pid()), "executable", "musl", "glibc image"),
        Err(error) => eprintln!("not tested here: no dynamic musl program: {error}"),
    }
}

#[test]
fn fault_08_calls_that_a_filter_refuses() {
    if !is_full_root() {
        return;
    }
    let (_target, pid) = become_("itself");
    let found = after(
        || rights::seccomp::refuse(&[libc::SYS_process_vm_readv, libc::SYS_pidfd_open], libc::ENOSYS),
        pid,
    );
    assert_eq!(possible(&found), Purpose::ALL, "{found:#?}");
    assert!(detail(&found, "memory").contains("/proc/PID/mem is permitted; process_vm_readv says ENOSYS"));
    assert!(detail(&found, "pidfd").contains("pidfd_open says ENOSYS"));

    let found = after(|| rights::seccomp::refuse(&[libc::SYS_ptrace, libc::SYS_ioctl], libc::EPERM), pid);
    fails(&found, "ptrace", "ptrace says EPERM: a seccomp filter", "SystemCallFilter");
    assert!(detail(&found, "pagemap scan").contains("PAGEMAP_SCAN says EPERM"));
    assert!(!possible(&found).contains(&Purpose::Enter));
}
