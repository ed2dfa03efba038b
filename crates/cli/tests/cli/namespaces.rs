//! Surroundings like a container's: a root, pids and a user of its own, and pids that come again.

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_testkit::{GlibcRoot, Program, Target, glibc_roots};

use crate::diagnose::validate;
use crate::{json, run};

const MIB: u64 = 1 << 20;

/// Makes of the folder `$1` a container's root, as its first process: other mounts, pids, and below
/// /proc only them. What follows is run by nobody, inside. `chroot` is the host's.
const ENTER: &str = r#"
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mkdir "$1/tmp/host"
cd "$1"
pivot_root . tmp/host
shift
exec /tmp/host/usr/sbin/chroot --userspec=65534:65534 --groups= / "$@"
"#;

/// Frees 120 MiB in four threads' arenas, then answers until it is told to end.
const SERVICE: &str = r#"
import os, signal, sys, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
kept = []
def burst():
    blocks = [bytes(2000 + index % 512) for index in range(15_000)]
    kept.append(blocks[::1000])
threads = [threading.Thread(target=burst) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("ready", os.getpid(), os.getuid(), flush=True)
for line in sys.stdin: print(line.strip().upper(), flush=True)
"#;

/// A service in a container, and the pid that the host knows it by.
pub(crate) struct Contained {
    pub(crate) target: Target,
    pub(crate) pid: Pid,
}

/// None, with the reason said, where there is no root to contain it in.
pub(crate) fn contained() -> Option<Contained> {
    let root = trixie()?;
    let root_path = root.path().canonicalize().unwrap();
    let words = ["--pid", "--fork", "--kill-child", "--mount", "sh", "-c", ENTER, "enter"];
    let mut program = Program::command(Path::new("/usr/bin/unshare"));
    for word in words.map(OsString::from).into_iter().chain([root_path.into_os_string()]) {
        program = program.arg(word);
    }
    let program = program.arg("/usr/bin/python3.13").arg("-c").arg(SERVICE);
    let target = program.env("MALLOC_ARENA_MAX", "8").spawn().unwrap();
    assert_eq!(target.greeting(), "1 65534", "its own pid and user");
    let unshare = target.pid();
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
    Some(Contained { pid: Pid(children.trim().parse().unwrap()), target })
}

fn trixie() -> Option<&'static GlibcRoot> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can make namespaces with a root of their own");
        return None;
    }
    let found = glibc_roots().iter().find(|root| root.suite() == "trixie");
    let found = found.filter(|root| root.path().join("usr/bin/python3.13").exists());
    if found.is_none() {
        eprintln!("not tested: no trixie root with python3.13, which `make fixtures` unpacks");
    }
    found
}

#[test]
fn fault_09_a_service_in_a_container_is_diagnosed_from_the_host() {
    let Some(service) = contained() else { return };
    let document = json(&format!("diagnose --pid {} --json", service.pid)).remove(0);
    validate(&document);
    let process = &document["processes"][0];
    assert_eq!(document["processes"].as_array().unwrap().len(), 1, "{document:#}");
    assert_eq!(process["pid"], service.pid.0);
    assert!(process["python"].as_str().unwrap().starts_with("3.13"), "{process:#}");
    assert_eq!(process["allocator"], "glibc");
    assert_eq!(process["gaps"], Value::Array(Vec::new()), "{process:#}");
    assert!(process["ledger"]["unexplained"].as_u64().unwrap() <= MIB, "{process:#}");
    assert!(process["trimmable_bytes"].as_u64().unwrap() > 80 * MIB, "{process:#}");
    assert_eq!(document["verdict"], "retention", "{document:#}");
    // Its libc, not the host's of the same name.
    let table = run(&format!("diagnose --pid {}", service.pid)).out;
    assert!(table.contains("Python 3.13, glibc 2.41 malloc"), "{table}");
}

#[test]
fn fault_09_a_service_in_a_container_is_trimmed_from_the_host() {
    let Some(mut service) = contained() else { return };
    let row = json(&format!("trim --pid {} --json", service.pid)).remove(0);
    assert_eq!(row["outcome"], "trimmed", "{row:#}");
    crate::trim::assert_as_predicted(&row);
    assert!(row["released_bytes"].as_u64().unwrap() > 80 * MIB, "{row:#}");
    assert_eq!(service.target.ask("still there").unwrap(), "STILL THERE");
}

#[test]
fn fault_13_pid_1_of_a_container_is_trimmed_and_still_ends_when_told() {
    let Some(service) = contained() else { return };
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid)).unwrap();
    assert!(status.contains("\nNSpid:\t") && status.contains("\t1\nNSpgid:"), "{status}");
    let row = json(&format!("trim --pid {} --json", service.pid)).remove(0);
    assert_eq!(row["outcome"], "trimmed", "{row:#}");
    let raw = rustix::process::Pid::from_raw(service.pid.0).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::TERM).unwrap();
    // The status is its own, which `unshare` passes on, and by its own handler.
    assert_eq!(service.target.finish().unwrap().code(), Some(42));
}

/// In a pid namespace where nobody else starts processes: runs slackwater on a victim, holds it at a
/// chosen system call, and there puts an impostor under the victim's pid. Prints what came of it.
const REUSE: &str = r#"
import json, os, subprocess, sys, time
strace, slackwater, call, nth, *words = sys.argv[1:]
RETAINS = '''
import sys
blocks = [bytes(2000) for _ in range(30_000)]
kept = blocks[::1000]
del blocks
print("ready", flush=True)
for line in sys.stdin: print("answer", flush=True)
'''
def start():
    process = subprocess.Popen([sys.executable, "-c", RETAINS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process
def rss(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1])
victim = start()
inject = f"inject={call}:delay_enter=3000000:when={nth}"
words = [word.replace("VICTIM", str(victim.pid)) for word in words]
# -D: strace is the grandchild, so that the process started here is slackwater itself.
looking = subprocess.Popen(
    [strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, slackwater, *words],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
def held():
    number = {"pidfd_open": "434", "ptrace": "101"}[call]
    for task in os.listdir(f"/proc/{looking.pid}/task"):
        try:
            with open(f"/proc/{looking.pid}/task/{task}/syscall") as syscall:
                if syscall.read().split()[0] == number:
                    return True
        except OSError:
            pass
    return False
# A call that is not held passes within microseconds.
seen = 0
while seen < 20:
    seen = seen + 1 if held() else 0
    if looking.poll() is not None:
        sys.exit(f"it was never held at {call}: {looking.communicate()}")
    time.sleep(0.01)
victim.kill()
victim.wait()
with open("/proc/sys/kernel/ns_last_pid", "w") as last:
    last.write(str(victim.pid - 1))
impostor = start()
before, in_time = rss(impostor.pid), held()
out, err = looking.communicate()
changed = before - rss(impostor.pid)
impostor.stdin.write(b"?\n")
impostor.stdin.flush()
answer = impostor.stdout.readline().decode().strip()
print("ready", json.dumps({
    "reused": in_time and impostor.pid == victim.pid, "code": looking.returncode, "out": out, "err": err,
    "changed_pages": changed, "answer": answer}), flush=True)
impostor.kill()
"#;

/// What came of `words` when the pid was used again just before the `nth` time that `call` was made.
fn reused(call: &str, nth: u32, words: &str) -> Option<Value> {
    let strace = Path::new("/usr/bin/strace");
    if !rustix::process::geteuid().is_root() || !strace.exists() {
        eprintln!("not tested: choosing the next pid takes root, and the moment takes strace");
        return None;
    }
    let mut program = Program::command(Path::new("/usr/bin/unshare"));
    for word in ["--pid", "--fork", "--kill-child", "--mount-proc", "/usr/bin/python3", "-c", REUSE] {
        program = program.arg(word);
    }
    program = program.arg(strace).arg(env!("CARGO_BIN_EXE_slackwater")).arg(call).arg(nth.to_string());
    for word in words.split(' ') {
        program = program.arg(word);
    }
    let told: Value = serde_json::from_str(program.spawn().unwrap().greeting()).unwrap();
    assert_eq!(told["reused"], true, "{told:#}");
    assert_eq!(told["answer"], "answer", "{told:#}");
    assert_eq!(told["changed_pages"], 0, "the impostor was entered: {told:#}");
    Some(told)
}

#[test]
fn fault_05_a_pid_reused_between_finding_and_looking() {
    let Some(told) = reused("pidfd_open", 1, "diagnose --pid VICTIM --json") else { return };
    assert_eq!((&told["code"], &told["out"]), (&4.into(), &"".into()), "{told:#}");
    assert!(told["err"].as_str().unwrap().starts_with("error: "), "{told:#}");
}

#[test]
fn fault_05_a_pid_reused_between_looking_and_entering() {
    let Some(told) = reused("ptrace", 1, "trim --pid VICTIM --json") else { return };
    assert_eq!(told["code"], 4, "{told:#}");
    let row: Value = serde_json::from_str(told["out"].as_str().unwrap()).unwrap();
    assert_eq!((&row["outcome"], &row["released_bytes"]), (&"untouched".into(), &Value::Null), "{row:#}");
}
