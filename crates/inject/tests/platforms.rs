//! Other C libraries, and the interpreters that services run on.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::time::{Duration, Instant};

use common::{check_waits, patient, process, trim};
use slackwater_inject::InjectError;
use slackwater_testkit::{Linking, Program, glibc_roots, interpreters};

const WAITS: &str = include_str!("victims/waits.c");

#[test]
fn every_glibc() {
    for root in glibc_roots() {
        let mut victim = Program::c_within(root, "waits", WAITS).unwrap().spawn().unwrap();
        check_waits(&mut victim);
        eprintln!("glibc {:?}: every wait goes on", root.glibc());
    }
}

#[test]
fn a_static_program_is_refused_by_name() {
    let victim = Program::c_linked("waits", WAITS, Linking::Static, &[]).unwrap().spawn().unwrap();
    let process = process(&victim);
    let target = slackwater_inject::Target::open(&process).unwrap();
    let call = slackwater_inject::Call {
        function: slackwater_base::Addr(0x40_0000),
        arguments: vec![],
        blob: vec![],
        forbidden: vec![],
    };
    let error = target.call(&call, &patient()).unwrap_err();
    assert!(matches!(error, InjectError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("glibc"), "{error}");
}

/// A service in small: threads that wait in the usual ways, one that computes, a main thread that
/// computes or waits. Each counts its rounds, and checks what its waits return.
const SERVICE: &str = r#"
import gc, json, queue, select, signal, socket, sys, threading, time
rounds = {}
errors = []

def worker(name, step):
    def run():
        rounds[name] = 0
        while True:
            try:
                step()
            except Exception as error:
                errors.append("%s: %r" % (name, error))
            rounds[name] += 1
    threading.Thread(target=run, daemon=True).start()

def nap():
    before = time.monotonic()
    time.sleep(0.02)
    assert time.monotonic() - before >= 0.02

items = queue.Queue()
def take():
    assert items.get() == 1

def put():
    items.put(1)
    time.sleep(0.01)

left, right = socket.socketpair()
def send():
    right.send(b"x")
    time.sleep(0.01)

def receive():
    assert left.recv(1) == b"x"

event = threading.Event()
def wait():
    assert event.wait(0.03) is False

def compute():
    json.loads(json.dumps({str(n): [n] * 5 for n in range(200)}))

def poll():
    assert select.select([sys.stdin.buffer.raw][:0], [], [], 0.02) == ([], [], [])

for step in [nap, take, put, send, receive, wait, poll] + [compute] * int(sys.argv[1]):
    worker(step.__name__, step)

held = [bytes(3000) for n in range(20000)]
kept = held[-1]
del held
ready()
for command in commands():
    if command == "compute":
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            compute()
    reply(json.dumps([rounds, errors]))
"#;

#[test]
fn every_interpreter() {
    for interpreter in interpreters() {
        let program = Program::python(interpreter, "service", SERVICE).unwrap().arg("1");
        let mut victim = program.spawn().unwrap();
        let process = process(&victim);
        let before = process.usage().unwrap().rss_bytes;
        let (mut entries, mut stops, mut longest_stop) = (0, 0, Duration::ZERO);
        for computes in [false, true] {
            if computes {
                victim.send("compute").unwrap();
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(300) {
                let outcome = trim(&process, &patient())
                    .unwrap_or_else(|error| panic!("{}: {error}", interpreter.version()));
                assert!(outcome.finished);
                entries += 1;
                stops += outcome.refusals;
                longest_stop = longest_stop.max(outcome.stopped);
            }
        }
        let after = process.usage().unwrap().rss_bytes;
        victim.answer("the end of computing").unwrap();
        let report = victim.ask("report").unwrap();
        assert!(report.ends_with("[]]"), "{}: {report}", interpreter.version());
        eprintln!(
            "{}: {entries} entries, {stops} let go, longest stop {longest_stop:?}, {before} to {after} bytes",
            interpreter.version()
        );
    }
}

#[test]
fn one_computing_thread_is_enough() {
    for interpreter in interpreters().iter().take(3) {
        let source = "import json\nready()\nwhile True:\n    json.loads(json.dumps({str(n): [n] * 5 for n in range(200)}))\n";
        let program = Program::python(interpreter, "busy", source).unwrap();
        let victim = program.spawn().unwrap();
        let process = process(&victim);
        let (mut entries, mut stops) = (0, 0);
        for _ in 0..20 {
            let outcome = trim(&process, &patient())
                .unwrap_or_else(|error| panic!("{}: {error}", interpreter.version()));
            entries += 1;
            stops += outcome.refusals;
        }
        eprintln!("{}: {entries} entries, {stops} let go", interpreter.version());
    }
}

/// Under a seccomp filter any system call that the program does not make by itself may be its death:
/// here those that an entry would like to make.
#[test]
fn a_filtered_program_makes_no_call_of_ours() {
    let source = r#"
        #include "planted.h"
        #include <linux/filter.h>
        #include <linux/seccomp.h>
        #include <stddef.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        int main(void) {
            struct sock_filter rules[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            };
            struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
            ready("%d", 1);
            serve();
        }"#;
    let mut victim = Program::c("filtered", source).unwrap().spawn().unwrap();
    let process = process(&victim);
    for _ in 0..20 {
        let outcome = trim(&process, &patient()).unwrap();
        assert!(outcome.finished, "{outcome:?}");
    }
    assert_eq!(victim.ask("still there").unwrap(), "");
}

/// A `vfork` child runs on its parent's memory.
#[test]
fn a_vfork_child_is_refused() {
    let source = r#"
        #include "planted.h"
        int main(void) {
            if (vfork() == 0) {
                ready("%d", getpid());
                char byte;
                read(0, &byte, 1);
                _exit(0);
            }
            serve();
        }"#;
    let victim = Program::c_linked("vforked", source, Linking::Dynamic, &["-Wno-deprecated-declarations"]);
    let victim = victim.unwrap().spawn().unwrap();
    let child = slackwater_base::Pid(victim.greeting_numbers()[0] as i32);
    let child = slackwater_procfs::Root::host().process(child).unwrap();
    let error = slackwater_inject::Target::open(&child).unwrap_err();
    assert!(error.to_string().contains("vfork"), "{error}");
    // Its parent waits for it and cannot be stopped; it is refused in time.
    let parent = process(&victim);
    let options = slackwater_inject::Options { search: Duration::from_millis(200), ..Default::default() };
    let error = trim(&parent, &options).unwrap_err();
    assert!(matches!(error, InjectError::Refused { .. }), "{error}");
}
