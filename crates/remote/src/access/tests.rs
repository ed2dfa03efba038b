//! The judging, over facts that no single machine can produce.

use slackwater_base::Pid;
use slackwater_procfs::State;

use super::*;

const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const EVERY_CALL: [Call; 10] = [
    Call::PidfdOpen,
    Call::Maps,
    Call::Smaps,
    Call::Pagemap,
    Call::Mem,
    Call::ProcessVmReadv,
    Call::Ptrace,
    Call::PagemapScan,
    Call::Frames,
    Call::MapFiles,
];

fn user(id: u32, capabilities: u64) -> Credentials {
    Credentials { uids: [id; 4], gids: [id; 4], capabilities, seccomp: 0 }
}

/// Root looks at a healthy process of user 1000, and everything is permitted.
fn permitted() -> Facts {
    Facts {
        pid: Pid(42),
        target: Some(Target {
            name: "gunicorn".to_owned(),
            state: State::Sleeping,
            parent: Pid(1),
            is_kernel_thread: false,
            tracer: None,
            credentials: user(1000, 0),
            is_dumpable: Some(true),
            has_shadow_stack: false,
            namespaces: Namespaces { pid: Relation::Same, mount: Relation::Same, user: Relation::Same },
            namespace_pids: vec![42],
            image: Ok(Image {
                machine: Machine::X86_64,
                interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
                is_position_independent: true,
            }),
        }),
        us: user(0, SYS_PTRACE | SYS_ADMIN),
        yama: None,
        kernel: "6.1.0".to_owned(),
        container: None,
        attempts: EVERY_CALL.map(|call| Attempt { call, errno: None }).to_vec(),
    }
}

/// The same with `calls` refused.
fn refused(calls: &[Call], errno: i32) -> Facts {
    let mut facts = permitted();
    for attempt in &mut facts.attempts {
        if calls.contains(&attempt.call) {
            attempt.errno = Some(errno);
        }
    }
    facts
}

fn target(facts: &mut Facts) -> &mut Target {
    facts.target.as_mut().unwrap()
}

/// Expects that `name` fails with `cause` and `fix` in its text.
fn check(facts: &Facts, name: &str, cause: &str, fix: &str) {
    let checks = judge(facts);
    let found = checks.iter().find(|check| check.name == name);
    match found.map(|check| &check.outcome) {
        Some(Outcome::Fail { cause: why, fix: how }) => {
            assert!(why.contains(cause), "{why:?} lacks {cause:?}");
            assert!(how.contains(fix), "{how:?} lacks {fix:?}");
        }
        other => panic!("{name}: {other:?} among {checks:#?}"),
    }
}

fn possible(facts: &Facts) -> Vec<Purpose> {
    let checks = judge(facts);
    Purpose::ALL.iter().copied().filter(|purpose| is_possible(&checks, *purpose)).collect()
}

#[test]
fn with_every_right_everything_is_possible() {
    assert_eq!(possible(&permitted()), Purpose::ALL);
}

/// Simulated: a kernel with Yama is not everywhere.
#[test]
fn fault_07_yama_is_named_with_its_sysctl() {
    const ATTACH: [Call; 2] = [Call::Mem, Call::ProcessVmReadv];
    let mut facts = refused(&ATTACH, libc::EPERM);
    facts.us = user(1000, 0);
    facts.yama = Some(Yama(1));
    check(&facts, "memory", "kernel.yama.ptrace_scope is 1", "sysctl kernel.yama.ptrace_scope=0");
    check(&facts, "ptrace", "kernel.yama.ptrace_scope is 1", "as root (sudo)");
    // Yama has no say in reading /proc: the classes stay.
    assert_eq!(possible(&facts), [Purpose::Classes, Purpose::Sharing]);

    facts.us = user(0, SYS_PTRACE);
    facts.yama = Some(Yama(3));
    check(&facts, "memory", "ptrace_scope is 3", "cannot be lowered");
    facts.yama = Some(Yama(0));
    check(&facts, "memory", "security module", "journalctl");
}

#[test]
fn fault_07_the_first_rule_that_refuses_is_named() {
    let all = [Call::Maps, Call::Smaps, Call::Pagemap, Call::Mem, Call::ProcessVmReadv, Call::Frames];
    let mut facts = refused(&all, libc::EACCES);
    facts.us = user(1001, 0);
    check(&facts, "pages", "maps says EACCES, smaps says EACCES", "sudo -u '#1000'");
    check(&facts, "memory", "runs as user 1000, we as user 1001", "as root (sudo)");
    check(&facts, "frame numbers", "without CAP_SYS_ADMIN", "PSS");
    assert_eq!(possible(&facts), []);

    facts.us = user(1000, 0);
    check(&facts, "memory", "not take the target for ours", "as root (sudo)");
    target(&mut facts).namespaces.user = Relation::Other;
    check(&facts, "memory", "another user namespace", "as root (sudo)");
    target(&mut facts).credentials.capabilities = 1;
    check(&facts, "memory", "holds capabilities that we do not", "as root (sudo)");
    target(&mut facts).is_dumpable = Some(false);
    check(&facts, "memory", "not dumpable", "as root (sudo)");

    facts.us = user(0, SYS_PTRACE);
    check(&facts, "memory", "our CAP_SYS_PTRACE does not count", "on the host");
}

#[test]
fn fault_07_in_a_container_the_fix_is_the_line_that_starts_it() {
    let mut facts = refused(&[Call::Mem, Call::ProcessVmReadv, Call::Frames], libc::EPERM);
    facts.us = user(0, 0);
    facts.container = Some(Container::Docker);
    check(&facts, "memory", "without CAP_SYS_PTRACE", "docker run --cap-add SYS_PTRACE");
    check(&facts, "frame numbers", "without CAP_SYS_ADMIN", "docker run --cap-add SYS_ADMIN");
    facts.container = Some(Container::Podman);
    check(&facts, "memory", "without CAP_SYS_PTRACE", "podman run --cap-add SYS_PTRACE");
    facts.container = Some(Container::Kubernetes);
    check(&facts, "memory", "without CAP_SYS_PTRACE", "kubectl debug POD");
    check(&facts, "memory", "without CAP_SYS_PTRACE", "--profile=sysadmin --target=CONTAINER");
}

#[test]
fn fault_07_files_without_a_name_are_for_few() {
    let mut facts = refused(&[Call::MapFiles], libc::EPERM);
    facts.us = user(1000, 0);
    let noted = |facts: &Facts| {
        let check = judge(facts).into_iter().find(|check| check.name == "mapped files").unwrap();
        let Outcome::Note { detail } = check.outcome else { panic!("{check:?}") };
        detail
    };
    assert!(noted(&facts).starts_with("/proc/PID/map_files says EPERM: code whose file was replaced"));
    assert!(noted(&facts).ends_with("root or CAP_CHECKPOINT_RESTORE (Linux 5.9) opens it"));
    assert_eq!(possible(&facts), [Purpose::Classes, Purpose::Heaps, Purpose::Sharing, Purpose::Enter]);
    facts.container = Some(Container::Docker);
    assert!(noted(&facts).contains("docker run --cap-add CHECKPOINT_RESTORE"));
    facts.us = user(0, SYS_ADMIN);
    assert!(noted(&facts).ends_with("do not count in this user namespace"));
}

#[test]
fn fault_08_a_filtered_call_is_named() {
    let mut facts = refused(&[Call::ProcessVmReadv], libc::ENOSYS);
    facts.us.seccomp = 2;
    assert_eq!(possible(&facts), Purpose::ALL);
    let shown = format!("{:?}", judge(&facts));
    assert!(shown.contains("/proc/PID/mem is permitted; process_vm_readv says ENOSYS (a seccomp filter"));

    let mut facts = refused(&[Call::Ptrace], libc::EPERM);
    facts.us.seccomp = 2;
    facts.container = Some(Container::Docker);
    check(&facts, "ptrace", "ptrace says EPERM: a seccomp filter", "--security-opt seccomp=unconfined");
    assert!(!possible(&facts).contains(&Purpose::Enter));
}

#[test]
fn a_missing_feature_of_the_kernel_is_in_nobodys_way() {
    let facts = refused(&[Call::PidfdOpen, Call::PagemapScan], libc::ENOSYS);
    assert_eq!(possible(&facts), Purpose::ALL);
}

#[test]
fn states_that_cannot_be_entered() {
    let mut facts = permitted();
    target(&mut facts).state = State::Stopped;
    check(&facts, "stopped", "it is stopped", "kill -CONT 42");
    target(&mut facts).tracer = Some((Pid(7), "strace".to_owned()));
    check(&facts, "tracer", "process 7 (strace) traces it", "end or detach strace (pid 7)");
    assert_eq!(possible(&facts), [Purpose::Classes, Purpose::Heaps, Purpose::Sharing]);

    let mut facts = permitted();
    target(&mut facts).has_shadow_stack = true;
    check(&facts, "shadow stack", "shadow stack", "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
}

#[test]
fn fault_11_what_cannot_be_walked_or_entered_is_known_before() {
    let mut facts = permitted();
    let image = |machine, interpreter: Option<&str>| {
        Ok(Image { machine, interpreter: interpreter.map(str::to_owned), is_position_independent: false })
    };
    target(&mut facts).image = image(Machine::X86, None);
    check(&facts, "executable", "32-bit x86", "page classes are still given");
    assert_eq!(possible(&facts), [Purpose::Classes, Purpose::Sharing]);
    target(&mut facts).image = image(Machine::Aarch64, None);
    check(&facts, "executable", "aarch64", "only x86-64");
    target(&mut facts).image = image(Machine::X86_64, Some("/lib/ld-musl-x86_64.so.1"));
    check(&facts, "executable", "musl", "glibc image");
    assert!(possible(&facts).contains(&Purpose::Heaps));
    target(&mut facts).image = image(Machine::X86_64, None);
    assert_eq!(possible(&facts), Purpose::ALL);
}

#[test]
fn a_hidden_process_is_told_from_one_that_is_not_there() {
    let mut facts = refused(&[Call::PidfdOpen], libc::ESRCH);
    facts.target = None;
    check(&facts, "process", "there is no process 42", "look it up again");
    let mut facts = permitted();
    facts.target = None;
    check(&facts, "process", "hidepid", "run as root");
    assert_eq!(possible(&facts), []);
}
