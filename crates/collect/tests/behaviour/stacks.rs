//! Stacks are put together from what a thread remembers of its last one: they must be what a look at all
//! frames would find.

use std::process::Command;

use slackwater_capture::transport::PythonAllocators;
use slackwater_collect::{Options, Stacks};
use slackwater_testkit::{checked_agent_library, interpreters, rounds, wheel};

use crate::recording::{EXACT, SAMPLED, record_by};

/// Every allocation is looked at, and nobody waits for the collector; code is told from other code by its mark.
/// In exact mode it is not: its end would have been heard.
const ALL: Options = Options { sample_mean: 1, ..SAMPLED };

/// Every object too.
const OBJECTS: Options = Options { python_allocators: PythonAllocators::All, ..EXACT };

/// Native frames too, whose rules are waited for.
const NATIVE: Options = Options { stacks: Stacks::Native, ..EXACT };

/// Native frames as far as their rules are there, and code is told from other code by its mark.
const NATIVE_ALL: Options = Options { stacks: Stacks::Native, ..ALL };

/// Turns that a program takes, each with some allocations.
const N_TURNS: u64 = 1000;

/// Has its stacks compared in many turns, each another way.
fn check(name: &str, options: &Options, python: impl Fn() -> Command) {
    for round in rounds(N_TURNS, 100 * N_TURNS).by(N_TURNS) {
        let mut python = python();
        python.args(["-c", include_str!("../programs/wandering.py")]);
        python.args([1 + round / N_TURNS, N_TURNS].map(|number| number.to_string()));
        compare(name, options, &mut python);
    }
}

/// A difference would have ended it.
fn compare(name: &str, options: &Options, python: &mut Command) {
    let (told, _) = record_by(&checked_agent_library().unwrap(), options, python);
    let [told] = told.into_values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(told.no_stacks, None, "{name}");
    assert!(told.n_allocations > N_TURNS, "{name}: {}", told.n_allocations);
}

#[test]
fn fault_23_stacks_of_functions_generators_and_threads_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), &ALL, || interpreter.command());
    }
}

#[test]
fn fault_23_stacks_of_each_allocation_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), &EXACT, || interpreter.command());
    }
}

#[test]
fn fault_23_stacks_of_each_object_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), &OBJECTS, || interpreter.command());
    }
}

#[test]
fn fault_23_stacks_with_native_frames_are_no_mixtures() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        check(&interpreter.to_string(), &NATIVE, || interpreter.command());
    }
}

/// At every depth one function calls another from two lines, and nothing else allocates in between: also where
/// the second one's frame begins a piece of the frame stack, which some releases keep for the next call.
const TWICE: &str = "
import sys
sys.setrecursionlimit(5000)

def leaf():
    return bytes(600)

def twice():
    leaf()
    leaf()

def down(n):
    return down(n - 1) if n else twice()

for n in range(400):
    down(n)
";

/// One line calls a function by turns itself and through C, and nothing else allocates in between: the frames
/// are the same, the calls of the interpreter's loop are not.
const BY_TURNS: &str = "
import functools

def leaf():
    return bytes(600)

def through(call):
    return call()

for call in [leaf, functools.partial(leaf)] * 1000:
    through(call)
";

/// Two functions of the same code in turn, whose frames lie where those of the other one lay.
const ALIKE: &str = "
def one(n):
    return one(n - 1) if n else bytes(600)

def other(n):
    return other(n - 1) if n else bytes(600)

for call in [one, other] * 1000:
    call(3)
";

#[test]
fn fault_23_a_call_that_comes_again_in_the_same_place_is_another_one() {
    for interpreter in interpreters().iter().filter(|one| !one.is_free_threaded() && !one.is_debug()) {
        let programs =
            [(ALL, TWICE), (EXACT, TWICE), (NATIVE, TWICE), (NATIVE, BY_TURNS), (ALL, ALIKE), (EXACT, ALIKE)];
        for (options, program) in programs {
            compare(&interpreter.to_string(), &options, interpreter.command_on_host().args(["-c", program]));
        }
    }
}

/// One thread calls functions, always from the same place, and allocates nothing in between; another one makes
/// them, of code that lies where that of the one before lay.
const EXCHANGED: &str = "
import itertools, threading, types

def template():
    return bytes(600)

def call():
    for _ in itertools.repeat(None, 1000):
        made.acquire()
        ready.pop()()
        called.release()

made, called, ready, places = threading.Lock(), threading.Lock(), [], set()
made.acquire(), called.acquire()
thread = threading.Thread(target=call)
thread.start()
for number in range(1000):
    code = template.__code__.replace(co_name='made_%d' % number)
    places.add(id(code))
    ready.append(types.FunctionType(code, globals()))
    del code
    made.release()
    called.acquire()
thread.join()
assert len(places) < 500, len(places)
";

#[test]
fn fault_23_code_that_comes_to_lie_where_other_code_lay_is_not_taken_for_it() {
    for interpreter in interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13) {
        for options in [ALL, EXACT, OBJECTS, NATIVE, NATIVE_ALL] {
            compare(&interpreter.to_string(), &options, interpreter.command().args(["-c", EXCHANGED]));
        }
    }
}

#[test]
fn fault_23_stacks_of_greenlets_are_no_mixtures() {
    let Some(python) = wheel("python") else { return };
    for options in [ALL, NATIVE] {
        check("greenlets", &options, || Command::new(&python));
    }
}
