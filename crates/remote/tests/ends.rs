//! Processes that are not there, not readable, or not the same any more.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says where and why it cannot go on")]

use slackwater_base::{PAGE_SIZE, Pid, Range};
use slackwater_memory::{Memory, MemoryError, Window};
use slackwater_procfs::{ProcError, Root};
use slackwater_remote::{Live, RemoteError};
use slackwater_testkit::{Program, Target};

mod rights;

const SOURCE: &str = r#"
#include "planted.h"
#include <sys/mman.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
    char *block = mmap(NULL, 64 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(block, 1, 64 << 12);
    pid_t child = argc > 1 ? fork() : 0;
    if (argc > 1 && child == 0) _exit(0);
    siginfo_t info;
    if (child != 0) waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    ready("%p %d", block, child);
    for (const char *command; (command = next_command()) != NULL; reply("%s", "")) {
        if (is(command, "exec")) execv(argv[0], argv);
    }
    return 0;
}
"#;

fn start() -> Target {
    Program::c("ends", SOURCE).unwrap().spawn().unwrap()
}

fn open(pid: Pid) -> Result<Live, RemoteError> {
    Live::open(&Root::host(), pid)
}

/// Asks for everything that can be asked of a process's memory.
fn answers(live: &Live, block: Range) -> [Result<(), MemoryError>; 5] {
    let mut bytes = vec![0; block.len() as usize];
    [
        live.pages(block, &mut Vec::new()),
        live.read(block.start, &mut bytes[..8]),
        live.read(block.start, &mut bytes),
        live.window(block, &mut Window::new()),
        live.occupied(Range::sized(block.start, 1 << 30)).map(drop),
    ]
}

fn block(target: &Target) -> Range {
    Range::sized(slackwater_base::Addr(target.greeting_numbers()[0]), 64 * PAGE_SIZE)
}

#[test]
fn what_has_no_memory_is_told_apart() {
    let target = Program::c("ends", SOURCE).unwrap().arg("with a zombie").spawn().unwrap();
    let zombie = Pid(target.greeting_numbers()[1] as i32);
    let refusal = |pid| match open(pid) {
        Err(RemoteError::Proc(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refusal(zombie), ProcError::Zombie { .. }));
    assert!(matches!(refusal(Pid(2)), ProcError::KernelThread { .. }));
    for absent in [Pid(0), Pid(-1), Pid(i32::MAX)] {
        assert!(matches!(refusal(absent), ProcError::Gone { .. }), "{absent}");
    }
}

#[test]
fn after_its_end_a_process_is_gone_and_no_other_is_read_in_its_place() {
    let target = start();
    let (live, block) = (open(target.pid()).unwrap(), block(&target));
    assert_eq!(answers(&live, block), [const { Ok(()) }; 5]);
    assert!(live.end().is_none());
    target.kill();
    assert_eq!(answers(&live, block), [const { Err(MemoryError::Gone) }; 5]);
    assert!(matches!(live.end(), Some(RemoteError::Proc(ProcError::Gone { .. }))));
    assert!(!live.process().is_same());
}

#[test]
fn after_exec_the_old_program_is_gone_and_the_new_one_can_be_opened() {
    let mut target = start();
    let (mut live, block) = (open(target.pid()).unwrap(), block(&target));
    let mappings = live.mappings().to_vec();
    // The new program greets once more.
    target.ask("exec").unwrap();
    assert_eq!(answers(&live, block), [const { Err(MemoryError::Gone) }; 5]);
    assert!(matches!(live.end(), Some(RemoteError::Replaced { .. })));
    assert!(matches!(live.refresh(), Err(RemoteError::Replaced { .. })));
    assert_eq!(live.mappings(), mappings);
    assert!(live.process().is_same(), "exec keeps the process");
    assert!(open(target.pid()).is_ok());
}

#[test]
fn fault_05_a_reused_pid_is_another_process() {
    let mut met = false;
    for _ in 0..200 {
        let first = start();
        let (pid, block) = (first.pid(), block(&first));
        let live = open(pid).unwrap();
        first.kill();
        // The kernel gives out the id after the last one; other tests may be quicker to take it.
        if std::fs::write("/proc/sys/kernel/ns_last_pid", (pid.0 - 1).to_string()).is_err() {
            eprintln!("not tested here: choosing the next pid takes CAP_CHECKPOINT_RESTORE");
            return;
        }
        let mut second = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        if second.id() != pid.0 as u32 {
            second.kill().unwrap();
            second.wait().unwrap();
            continue;
        }
        met = true;
        assert_eq!(answers(&live, block), [const { Err(MemoryError::Gone) }; 5]);
        assert!(!live.process().is_same());
        assert!(matches!(live.process().maps(), Err(ProcError::Gone { .. })));
        assert!(matches!(live.process().status(), Err(ProcError::Gone { .. })));
        assert!(matches!(live.threads(), Err(RemoteError::Proc(ProcError::Gone { .. }))));
        assert!(matches!(live.end(), Some(RemoteError::Proc(ProcError::Gone { .. }))));
        assert!(open(pid).unwrap().process().is_same());
        second.kill().unwrap();
        second.wait().unwrap();
        break;
    }
    assert!(met, "the kernel never gave the same id twice");
}

#[test]
fn fault_07_another_users_process_is_denied_and_named_so() {
    let target = start();
    let pid = target.pid();
    let error = rights::as_nobody(|| open(pid)).unwrap_err();
    assert!(error.is_denied() && !error.is_gone(), "{error:?}");
    assert!(error.to_string().contains("not permitted") && error.hint().unwrap().contains("CAP_SYS_PTRACE"));
    // What is public stays readable.
    let stat = rights::as_nobody(|| Root::host().process(pid).unwrap().stat().unwrap());
    assert_eq!(stat.comm, std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end());
}

#[test]
fn fault_08_calls_that_a_filter_refuses_are_done_without() {
    let target = start();
    let (pid, block) = (target.pid(), block(&target));
    let refused = [libc::SYS_process_vm_readv, libc::SYS_pidfd_open];
    rights::after(
        || rights::seccomp::refuse(&refused, libc::EPERM),
        || {
            let live = open(pid).unwrap();
            assert_eq!(answers(&live, block), [const { Ok(()) }; 5]);
            let mut window = Window::new();
            live.window(block, &mut window).unwrap();
            assert_eq!(window.word(block.start + 63 * PAGE_SIZE), Some(0x0101_0101_0101_0101));
            let denied: Vec<_> = live.denied().iter().map(|denial| denial.call).collect();
            assert_eq!(denied, ["pidfd_open", "process_vm_readv"]);
            assert!(live.notes()[0].starts_with("pidfd_open was refused"), "{:?}", live.notes());
        },
    );
    // The ioctl that finds zero pages and skips empty stretches.
    rights::after(
        || rights::seccomp::refuse(&[libc::SYS_ioctl], libc::EPERM),
        || {
            let live = open(pid).unwrap();
            assert_eq!(answers(&live, block), [const { Ok(()) }; 5]);
        },
    );
}

#[test]
fn a_tree_that_is_not_proc_itself_is_read_by_its_files_alone() {
    let target = start();
    let here = tempfile::tempdir().unwrap();
    let link = here.path().join("proc");
    std::os::unix::fs::symlink("/proc", &link).unwrap();
    let live = Live::open(&Root::at(link), target.pid()).unwrap();
    assert!(live.pidfd().is_none());
    assert_eq!(answers(&live, block(&target)), [const { Ok(()) }; 5]);
}
