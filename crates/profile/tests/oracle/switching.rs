//! Stacks of what does not run from call to return: generators, coroutines, greenlets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use slackwater_capture::transport::Mode;
use slackwater_profile::Profile;
use slackwater_testkit::{Interpreter, interpreters};

use super::{options, record};

const N: u64 = 400;

/// Every stack asks for blocks of a size that no other asks for.
const SWITCHING: &str = "
import sys, threading

def leaf(size):
    return bytearray(size)

def generator(n):
    for _ in range(n):
        yield leaf(200_000)

def delegate(n):
    yield from generator(n)

def consume(n):
    for block in delegate(n):
        pass

async def inner():
    return leaf(210_000)

async def outer():
    return await inner()

def drive(n):
    for _ in range(n):
        try:
            outer().send(None)
        except StopIteration:
            pass

def unwind(n):
    for _ in range(n):
        try:
            fails()
        except ValueError:
            leaf(220_000)

def fails():
    leaf(230_000)
    raise ValueError

def compare(a, b):
    leaf(240_000)
    return 0

def sort(n):
    import functools
    for _ in range(n):
        sorted([1, 2], key=functools.cmp_to_key(compare))

def thread(n):
    for _ in range(n):
        leaf(250_000)

consume(N)
drive(N)
unwind(N)
sort(N)
one = threading.Thread(target=thread, args=(N,))
one.start()
one.join()

if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
    import greenlet

    def below(n):
        for _ in range(n):
            leaf(260_000)
            deeper()

    def deeper():
        greenlet.getcurrent().parent.switch()
        leaf(270_000)

    def switch(n):
        green = greenlet.greenlet(below)
        green.switch(n)
        for _ in range(n):
            leaf(280_000)
            green.switch()

    switch(N)
";

/// Sizes by the functions that ask, the innermost first.
const STACKS: [(u64, &[&str]); 6] = [
    (200_000, &["leaf", "generator", "delegate", "consume", "<module>"]),
    (210_000, &["leaf", "inner", "outer", "drive", "<module>"]),
    (220_000, &["leaf", "unwind", "<module>"]),
    (230_000, &["leaf", "fails", "unwind", "<module>"]),
    (240_000, &["leaf", "compare", "sort", "<module>"]),
    (250_000, &["leaf", "thread", "run", "_bootstrap_inner", "_bootstrap"]),
];

/// A greenlet's stack ends with its own first function.
const GREENLETS: [(u64, &[&str]); 3] = [
    (260_000, &["leaf", "below"]),
    (270_000, &["leaf", "deeper", "below"]),
    (280_000, &["leaf", "switch", "<module>"]),
];

#[test]
fn stacks_of_generators_coroutines_exceptions_threads_and_greenlets_on_every_release() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("switching.py");
    std::fs::write(&script, SWITCHING.replace("(N)", &format!("({N})")).replace("(N,)", &format!("({N},)")))
        .unwrap();
    let mut seen = Vec::new();
    for interpreter in interpreters().iter().filter(|one| !one.is_debug() && !one.is_free_threaded()) {
        let greenlet = greenlet(interpreter);
        let mut command = interpreter.command_on_host();
        command.arg(&script).args(&greenlet);
        check(interpreter, command, greenlet.is_some());
        seen.push(interpreter.version().1);
    }
    assert!(!seen.is_empty());
}

fn check(interpreter: &Interpreter, command: Command, has_greenlets: bool) {
    let (profile, summary) = record(&options(Mode::Exact, 0), command);
    assert_eq!((summary.n_lost, summary.no_stacks), (0, None), "{interpreter}");
    let asked = asked_by_functions(&profile);
    let greenlets = if has_greenlets { &GREENLETS[..] } else { &[] };
    for (size, functions) in STACKS.iter().chain(greenlets) {
        let bytes = asked.get(&functions.join(" < ")).copied().unwrap_or(0.0);
        let truth = (N * size) as f64;
        // Headers of objects; nothing else asks for as much in these stacks.
        assert!(
            (truth..truth * 1.01 + 20_000.0).contains(&bytes),
            "{interpreter}: {functions:?}: {bytes} of {truth}; {:#?}",
            asked.iter().filter(|(name, _)| name.starts_with("leaf")).collect::<Vec<_>>()
        );
    }
    // And in no others.
    let of_leaf = asked.iter().filter(|(name, _)| name.starts_with("leaf")).count();
    assert_eq!(of_leaf, STACKS.len() + greenlets.len(), "{interpreter}");
}

/// Bytes asked for by the names of the functions of a stack, without classes and modules.
fn asked_by_functions(profile: &Profile) -> BTreeMap<String, f64> {
    let mut asked = BTreeMap::new();
    for (stack, usage) in profile.by_stack() {
        let names: Vec<&str> = profile
            .stacks
            .frames(stack)
            .map(|frame| frame.function.rsplit('.').next().unwrap_or_default())
            .collect();
        *asked.entry(names.join(" < ")).or_default() += usage.allocated.bytes;
    }
    asked
}

/// The folder of greenlet's wheel for this interpreter, where `make fixtures` has put one.
#[expect(clippy::print_stderr, reason = "a test that covers less than it could must say so")]
fn greenlet(interpreter: &Interpreter) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/.cache/greenlet");
    let folder = root.join(format!("3.{}", interpreter.version().1));
    if !folder.exists() {
        eprintln!("{interpreter}: no greenlet in {}, so its stacks are not covered", folder.display());
        return None;
    }
    Some(folder)
}
