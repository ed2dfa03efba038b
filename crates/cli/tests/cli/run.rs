//! `run`: the command takes our place, with nothing changed but what was chosen.

mod environment;
mod record;
mod refusals;
mod servers;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use slackwater_testkit::allocator_library;

use crate::{Ran, python, slackwater};

/// `slackwater run` with our library, `words` and then, as one word each, `command`.
fn run_on(words: &str, command: &[&str]) -> Command {
    let mut run = slackwater(&format!("run {words}"));
    run.env("SLACKWATER_LIBRARY", allocator_library().unwrap());
    // What the tests run in is not what they are about.
    for variable in ["LD_PRELOAD", "MALLOC_CONF", "GLIBC_TUNABLES", "PYTHONMALLOC", "MALLOC_ARENA_MAX"] {
        run.env_remove(variable);
    }
    if !command.is_empty() {
        run.arg("--").args(command);
    }
    run
}

fn ran(mut command: Command) -> Ran {
    command.output().unwrap().into()
}

#[test]
fn the_command_takes_our_place() {
    let child = run_on("-q", &["sh", "-c", "echo $$"]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), pid.to_string());
}

#[test]
fn it_ends_as_the_command_does() {
    for code in [0, 1, 2, 3, 4, 6, 77] {
        assert_eq!(ran(run_on("-q", &["sh", "-c", &format!("exit {code}")])).code, code);
    }
    let status = run_on("-q", &["sh", "-c", "kill -TERM $$"]).status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGTERM));
}

#[test]
fn signals_go_straight_to_the_command() {
    let script = "import signal, sys\n\
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n\
        print('ready', flush=True)\n\
        signal.pause()";
    let python = python().path().to_str().unwrap();
    let mut child = run_on("-q", &[python, "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

/// Blocks one signal and ignores another, as supervisors do, then becomes what it is told.
const SUPERVISOR: &str = "import os, signal, sys\n\
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n\
    signal.signal(signal.SIGHUP, signal.SIG_IGN)\n\
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n\
    os.execvp(sys.argv[1], sys.argv[1:])";

#[test]
fn masks_and_dispositions_are_inherited() {
    let python = python().path().to_str().unwrap();
    let status = ["grep", "-E", "^Sig(Blk|Ign)|^ShdPnd", "/proc/self/status"];
    let direct = Command::new(python).args(["-c", SUPERVISOR]).args(status).output().unwrap();
    let run = run_on("-q", &status);
    let through = Command::new(python)
        .args(["-c", SUPERVISOR])
        .arg(run.get_program())
        .args(run.get_args())
        .env("SLACKWATER_LIBRARY", allocator_library().unwrap())
        .output()
        .unwrap();
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();
    assert_eq!(text(&through.stdout), text(&direct.stdout), "{}", text(&through.stderr));
    assert!(text(&direct.stdout).contains("SigBlk:\t0000000000000200"), "{}", text(&direct.stdout));
}

#[test]
fn standard_streams_are_the_commands_own() {
    let mut child = run_on("", &["sh", "-c", "cat; echo told >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn({
        let sent = sent.clone();
        move || input.write_all(&sent).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    let err = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with("slackwater: running on slackwater: LD_PRELOAD="), "{err}");
    assert_eq!(lines[1..], ["told"], "{err}");
}

#[test]
fn quiet_leaves_stderr_to_the_command() {
    let ran = ran(run_on("--quiet", &["sh", "-c", "echo told >&2"]));
    assert_eq!((ran.err.as_str(), ran.out.as_str(), ran.code), ("told\n", "", 0));
}

#[test]
fn no_descriptor_of_ours_is_left_open() {
    let listed = |mut command: Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
    let words = ["ls", "/proc/self/fd"];
    let mut direct = Command::new(words[0]);
    direct.args(&words[1..]);
    assert_eq!(listed(run_on("-q", &words)), listed(direct));
}

#[test]
fn the_first_process_of_a_container() {
    let words = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let probe = Command::new("unshare").args(words).arg("true").status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("not tested: pid namespaces cannot be made here");
        return;
    }
    let script = "import os, sys, mmap\n\
        pid = os.fork()\n\
        if pid == 0: os._exit(0)\n\
        os.waitpid(pid, 0)\n\
        loaded = any('libslackwater_alloc' in line for line in open('/proc/self/maps'))\n\
        print(os.getpid(), loaded)\n\
        sys.exit(9)";
    let run = run_on("-q", &[python().path().to_str().unwrap(), "-c", script]);
    let output = Command::new("unshare")
        .args(words)
        .arg(run.get_program())
        .args(run.get_args())
        .env("SLACKWATER_LIBRARY", allocator_library().unwrap())
        .output()
        .unwrap();
    let ran = Ran::from(output);
    assert_eq!((ran.out.as_str(), ran.code), ("1 True\n", 9), "{}", ran.err);
}

#[test]
fn text_without_a_first_line_is_read_by_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("start");
    std::fs::write(&script, "echo \"$0 $1\"\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let ran = ran(run_on("-q", &[script, "word"]));
    assert_eq!(ran.out, format!("{script} word\n"), "{}", ran.err);
}

#[test]
fn fault_47_bytes_that_are_not_text_pass_unchanged() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"a\xff\xfe b");
    let output = run_on("-q", &["printf", "%s %s"]).arg(odd).arg(odd).env("ODD", odd).output().unwrap();
    assert_eq!(output.stdout, b"a\xff\xfe b a\xff\xfe b");
    let output = run_on("-q", &["printenv", "ODD"]).env("ODD", odd).output().unwrap();
    assert_eq!(output.stdout, b"a\xff\xfe b\n");
}

#[test]
fn fault_47_without_an_environment_and_without_streams() {
    let library = allocator_library().unwrap();
    let output = slackwater("run -- /bin/sh -c true")
        .env_clear()
        .env("SLACKWATER_LIBRARY", &library)
        .output()
        .unwrap();
    assert_eq!(Ran::from(output).code, 0);
    let script = "exec \"$@\" <&- >&- 2>&-";
    let run = run_on("", &["/bin/sh", "-c", "exit 5"]);
    let mut closed = Command::new("sh");
    closed.args(["-c", script, "sh"]).arg(run.get_program()).args(run.get_args());
    assert_eq!(closed.env("SLACKWATER_LIBRARY", library).status().unwrap().code(), Some(5));
}
