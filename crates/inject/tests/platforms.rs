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
