//! Processes of a tree that the test builds, and of the real one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use slackwater_base::{Pid, Tid};
use slackwater_memory::Kind;
use slackwater_procfs::{Named, ProcError, Root, State, Syscall};

const STAT_TAIL: &str = "1 7 7 0 -1 4194304 101 0 3 0 7 8 0 0 20 0 2 0 9876 1 2 3 4 5 140000 0";

/// A process in a made-up tree.
fn plant(tree: &Path, pid: i32, files: &[(&str, &[u8])]) {
    for (name, text) in files {
        let path = tree.join(pid.to_string()).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn a_planted_process_is_read_whole() {
    let tree = tempfile::tempdir().unwrap();
    let stat = format!("7 (a) b) S {STAT_TAIL}");
    plant(
        tree.path(),
        7,
        &[
            ("stat", stat.as_bytes()),
            ("status", b"Name:\ta) b\nNSpid:\t7\t1\n"),
            ("maps", b"1000-2000 rw-p 00000000 00:00 0\n3000-4000 r--s 00000000 00:15 9   /run/x\n"),
            ("mountinfo", b"23 1 0:21 / /run rw - tmpfs tmpfs rw\n"),
            ("smaps_rollup", b"1000-4000 ---p 00000000 00:00 0 [rollup]\nRss: 8 kB\nPss: 5 kB\n"),
            ("cmdline", b"gunicorn\0app:app\0\0"),
            ("environ", b"SECRET=x\0MALLOC_ARENA_MAX=2\0MALLOC_ARENA_MAX_NOT=3\0"),
            ("cgroup", b"0::/web\n"),
            ("task/7/status", b"Name:\tmain\n"),
            ("task/9/status", b"Name:\tworker\n"),
            ("task/9/syscall", b"running\n"),
        ],
    );
    plant(tree.path(), 12, &[("stat", b"12 (other")]);
    fs::create_dir(tree.path().join("self")).unwrap();
    let root = Root::at(tree.path());
    assert!(!root.is_host());
    assert_eq!(root.pids().unwrap(), [Pid(7), Pid(12)]);

    let process = root.process(Pid(7)).unwrap();
    assert_eq!((process.start_ticks(), process.stat().unwrap().ppid), (9876, 1));
    assert_eq!(process.status().unwrap().innermost_pid(), Some(1));
    let maps = process.maps().unwrap();
    assert!(matches!(&maps[1].kind, Kind::Shmem { name } if name == Path::new("/run/x")));
    assert_eq!((process.usage().unwrap().rss_bytes, process.usage().unwrap().pss_bytes), (8192, 5120));
    assert_eq!(process.command_line().unwrap(), ["gunicorn", "app:app", ""]);
    assert_eq!(process.environment_variable("MALLOC_ARENA_MAX").unwrap(), Some("2".into()));
    assert_eq!(process.environment_variable("MALLOC_ARENA").unwrap(), None);
    let like = |prefixes: &[&str]| process.environment_like(prefixes).unwrap();
    let expected = [("MALLOC_ARENA_MAX".into(), "2".into()), ("MALLOC_ARENA_MAX_NOT".into(), "3".into())];
    assert_eq!(like(&["LD_PRELOAD", "MALLOC_"]), Some(expected.to_vec()));
    assert_eq!(like(&[]), Some(Vec::new()));
    assert_eq!(process.cgroups().unwrap().unified, Some("/web".into()));
    assert_eq!(process.tasks().unwrap(), [Tid(7), Tid(9)]);
    assert_eq!(process.task_status(Tid(9)).unwrap().name, "worker");
    assert_eq!(process.task_syscall(Tid(9)).unwrap(), Syscall::Running);
    assert!(matches!(process.task_status(Tid(10)), Err(ProcError::Missing { .. })));
    assert!(matches!(root.process(Pid(12)), Err(ProcError::Parse { .. })));
    assert!(matches!(root.process(Pid(8)), Err(ProcError::Gone { pid: Pid(8) })));
}

#[test]
fn an_environment_under_a_title_is_not_an_empty_one() {
    let tree = tempfile::tempdir().unwrap();
    let stat = format!("7 (x) S {STAT_TAIL}");
    plant(tree.path(), 7, &[("stat", stat.as_bytes()), ("environ", b"web: worker\0\0\0")]);
    plant(tree.path(), 8, &[("stat", stat.as_bytes()), ("environ", b"")]);
    let like = |pid| Root::at(tree.path()).process(Pid(pid)).unwrap().environment_like(&["LD_"]).unwrap();
    assert_eq!((like(7), like(8)), (None, Some(Vec::new())));
}

#[test]
fn names_are_followed_below_the_root_of_the_process_and_not_out_of_it() {
    let tree = tempfile::tempdir().unwrap();
    let stat = format!("7 (x) S {STAT_TAIL}");
    plant(
        tree.path(),
        7,
        &[("stat", stat.as_bytes()), ("root/lib/real.so", b"\x7fELF"), ("root/etc/passwd", b"ours")],
    );
    let root = tree.path().join("7/root");
    std::os::unix::fs::symlink("/etc/passwd", root.join("lib/link.so")).unwrap();
    std::os::unix::fs::symlink("narenas:1", root.join("etc/malloc.conf")).unwrap();
    std::os::unix::fs::symlink("loop", root.join("lib/loop")).unwrap();
    let pipe = root.join("lib/pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());

    let process = Root::at(tree.path()).process(Pid(7)).unwrap();
    let named = |path: &str| process.named(Path::new(path)).unwrap();
    let content = |path: &str| {
        let Named::File(file) = named(path) else { panic!("{path} is a file") };
        std::io::read_to_string(file.opened.unwrap()).unwrap()
    };
    assert_eq!(content("/lib/real.so"), "\x7fELF");
    // A link, and dots, stay below the root.
    assert_eq!(content("/lib/link.so"), "ours");
    assert_eq!(content("/../../../etc/passwd"), "ours");
    assert!(matches!(named("/lib/pipe"), Named::Other));
    assert!(matches!(named("/lib"), Named::Other));
    for missing in ["/lib/none.so", "/lib/real.so/x", "/lib/loop", "relative.so"] {
        assert!(matches!(named(missing), Named::Missing), "{missing}");
    }
    let link = |path: &str| process.link_named(Path::new(path)).unwrap();
    assert_eq!(link("/etc/malloc.conf"), Some("narenas:1".into()));
    assert_eq!((link("/etc/passwd"), link("/etc/none")), (None, None));

    fs::set_permissions(root.join("lib/real.so"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .unwrap();
    let Named::File(file) = named("/lib/real.so") else { panic!("a file") };
    let (owner, group) = (file.uid, file.gid);
    let readable = |uid, gid| file.is_readable_by(uid, gid);
    assert!(readable(owner, 12345) && readable(12345, group) && !readable(12345, 12345) && readable(0, 1));
}

#[test]
fn figures_are_summed_where_the_kernel_has_no_rollup() {
    let tree = tempfile::tempdir().unwrap();
    let stat = format!("7 (x) S {STAT_TAIL}");
    let smaps = b"1000-2000 rw-p 0 00:00 0\nRss: 4 kB\nSwap: 4 kB\n2000-3000 rw-p 0 00:00 0\nRss: 4 kB\n";
    plant(tree.path(), 7, &[("stat", stat.as_bytes()), ("smaps", smaps)]);
    let usage = Root::at(tree.path()).process(Pid(7)).unwrap().usage().unwrap();
    assert_eq!((usage.rss_bytes, usage.swap_bytes, usage.range.len()), (8192, 4096, 0x2000));
}

#[test]
fn a_tree_in_which_the_pid_was_reused_is_noticed() {
    let tree = tempfile::tempdir().unwrap();
    let stat = |start: u32| format!("7 (x) S {}", STAT_TAIL.replace("9876", &start.to_string()));
    plant(tree.path(), 7, &[("stat", stat(9876).as_bytes()), ("maps", b"")]);
    let process = Root::at(tree.path()).process(Pid(7)).unwrap();
    assert!(process.is_same());
    plant(tree.path(), 7, &[("stat", stat(9999).as_bytes())]);
    assert!(!process.is_same());
    assert!(matches!(process.require_memory(), Err(ProcError::Gone { .. })));
    assert!(matches!(process.maps(), Err(ProcError::Gone { .. })));
}

/// A child that has surely become `cat`: it has echoed a byte.
fn cat() -> Child {
    use std::io::{Read, Write};
    let mut child = Command::new("/bin/cat")
        .env("PLANTED", "here")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

#[test]
fn a_real_process_from_start_to_end() {
    let mut child = cat();
    let root = Root::host();
    assert!(root.pids().unwrap().contains(&Pid(child.id() as i32)));
    let process = root.process(Pid(child.id() as i32)).unwrap();
    let own = root.process(Pid(std::process::id() as i32)).unwrap();
    assert_eq!(process.stat().unwrap().comm, "cat");
    assert_eq!(process.stat().unwrap().ppid, own.pid().0);
    assert!(process.executable().unwrap().ends_with("cat"));
    assert_eq!(process.environment_variable("PLANTED").unwrap(), Some("here".into()));
    assert_eq!(process.namespace("pid").unwrap(), own.namespace("pid").unwrap());
    assert_ne!(process.namespace("pid").unwrap(), own.namespace("mnt").unwrap());
    assert_eq!(process.tasks().unwrap(), [process.pid().main_thread()]);
    let status = process.status().unwrap();
    assert_eq!((status.tgid, status.threads), (Some(process.pid().0), Some(1)));
    assert_eq!(status.innermost_pid().is_some(), !status.ns_pids.is_empty());
    let maps = process.maps().unwrap();
    assert!(maps.iter().any(|mapping| mapping.kind == Kind::Stack));
    assert!(maps.is_sorted_by(|one, next| one.range.end <= next.range.start));
    let rss: u64 = process.smaps().unwrap().map(|usage| usage.unwrap().rss_bytes).sum();
    assert_eq!(process.usage().unwrap().rss_bytes, rss);
    if let Ok(Syscall::Call { number, arguments, .. }) = process.task_syscall(process.pid().main_thread()) {
        assert_eq!((number, arguments[0]), (0, 0), "read from standard input");
    }

    child.kill().unwrap();
    while process.stat().unwrap().state != State::Zombie {
        std::thread::yield_now();
    }
    assert!(process.is_same());
    assert!(matches!(process.maps(), Err(ProcError::Zombie { .. })));
    assert!(matches!(process.usage(), Err(ProcError::Zombie { .. })));
    child.wait().unwrap();
    assert!(!process.is_same());
    assert!(matches!(process.maps(), Err(ProcError::Gone { .. })));
    assert!(matches!(process.status(), Err(ProcError::Gone { .. })));
    assert!(matches!(process.tasks(), Err(ProcError::Gone { .. })));
    assert!(matches!(process.executable(), Err(ProcError::Gone { .. })));
    assert!(matches!(process.namespace("pid"), Err(ProcError::Gone { .. })));
    assert!(matches!(process.usage(), Err(ProcError::Gone { .. })));
}

#[test]
fn a_kernel_thread_has_no_memory() {
    let Ok(process) = Root::host().process(Pid(2)) else { return };
    if !process.stat().unwrap().is_kernel_thread() {
        return;
    }
    assert!(matches!(process.maps(), Err(ProcError::KernelThread { .. })));
    assert!(matches!(process.usage(), Err(ProcError::KernelThread { .. })));
    assert_eq!(process.command_line().unwrap(), [""; 0]);
}

#[test]
fn our_memory_group_is_where_the_kernel_says() {
    let root = Root::host();
    let own = root.process(Pid(std::process::id() as i32)).unwrap();
    if let Some(group) = own.memory_group(&root).unwrap() {
        let usage = group.usage().unwrap();
        assert!(usage.current_bytes.is_some() || group.directory.ends_with("unified"), "{group:?} {usage:?}");
    }
}
