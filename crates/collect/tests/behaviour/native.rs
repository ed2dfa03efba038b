//! Stacks of native code: what the agent finds by tables made outside is what the program's own runtime finds.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use slackwater_capture::{Allocation, Capture, NativeCode, Record};
use slackwater_collect::{Collector, Options, Stacks};
use slackwater_testkit::{Interpreter, Linking, Program, interpreters};

use crate::attach;
use crate::recording::{EXACT, program, under, while_turning};

/// Every event, with native stacks.
const NATIVE: Options = Options { stacks: Stacks::Native, ..EXACT };

/// A frame of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// A line of Python, or a mark: its function.
    Other(String),
    /// Native code.
    Native { function: String, module: String, offset: u64, line: String },
}

/// The stacks in a capture.
#[derive(Default)]
pub(crate) struct Stacked {
    locations: HashMap<u32, Frame>,
    stacks: HashMap<u32, (u32, u32)>,
    /// Address, size and stack of each allocation.
    pub(crate) allocations: Vec<(u64, u64, u32)>,
}

impl Stacked {
    /// All processes of a capture; ids must not clash, so there is to be one.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut opened = Capture::from_reader(Path::new("test"), Cursor::new(bytes)).unwrap();
        let mut all = Self::default();
        let gaps = opened.value.play(|_, record| match record {
            Record::Location { id, function, .. } => {
                all.locations.insert(*id, Frame::Other(function.to_string()));
            }
            Record::Native(NativeCode { id, function, module, offset, file, line, .. }) => {
                let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
                let (function, module) = (function.to_string(), name(module));
                let line = format!("{}:{line}", name(file));
                let frame = Frame::Native { function, module, offset: *offset, line };
                assert_eq!(all.locations.insert(*id, frame), None, "location {id} is defined twice");
            }
            Record::Stack { id, parent, location } => {
                all.stacks.insert(*id, (*parent, *location));
            }
            Record::Allocation(Allocation { addr, size, stack, .. }) => {
                all.allocations.push((*addr, *size, *stack));
            }
            _ => {}
        });
        assert_eq!(gaps.unwrap(), []);
        all
    }

    /// The frames of a stack, innermost first.
    pub(crate) fn frames(&self, mut stack: u32) -> Vec<&Frame> {
        let mut frames = Vec::new();
        while let Some((parent, location)) = self.stacks.get(&stack) {
            frames.push(&self.locations[location]);
            stack = *parent;
        }
        assert_eq!(stack, 0, "a stack is not defined");
        frames
    }

    /// What the functions of a stack are called, innermost first.
    pub(crate) fn names(&self, stack: u32) -> Vec<&str> {
        let frames = self.frames(stack).into_iter();
        frames
            .map(|frame| match frame {
                Frame::Other(function) | Frame::Native { function, .. } => function.as_str(),
            })
            .collect()
    }
}

const CHAINS: &[&str] = &[
    "plain", "deep", "alloca", "large", "aligned", "saved", "tail", "noreturn", "callback", "signal",
    "altstack", "thread",
];

/// Each chain of the program: what its runtime says, and what was recorded.
fn check_chains(linking: Linking, flags: &[&str]) {
    let source = include_str!("../programs/chains.c");
    let program = Program::c_linked("chains", source, linking, flags).unwrap();
    let mut collector = Collector::begin(&NATIVE, Vec::new()).unwrap();
    let program = under(&collector, &program);
    let answers: Vec<String> = while_turning(&mut collector, || {
        let mut target = program.spawn().unwrap();
        let answers = CHAINS.iter().map(|chain| target.ask(chain).unwrap()).collect();
        assert!(target.finish().unwrap().success());
        answers
    });
    let (_, bytes) = collector.end().unwrap();
    let stacked = Stacked::read(&bytes);
    for (chain, answer) in CHAINS.iter().zip(&answers) {
        check_chain(&stacked, chain, answer);
    }
}

/// What the runtime says of one chain, and what was recorded.
fn check_chain(stacked: &Stacked, chain: &str, answer: &str) {
    let mut words = answer.split_whitespace();
    let block = u64::from_str_radix(words.next().unwrap(), 16).unwrap();
    let told: Vec<&str> = words.skip(1).collect();
    assert!(told.len() >= 3, "{chain}: {answer}");
    let allocation = stacked.allocations.iter().find(|(addr, size, _)| (*addr, *size) == (block, 7001));
    let &(_, _, stack) = allocation.unwrap_or_else(|| panic!("{chain}: the block is not recorded"));
    let frames = stacked.frames(stack);
    let found: Vec<String> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Native { module, offset, .. } => format!("{offset:x}@{module}"),
            Frame::Other(mark) => mark.clone(),
        })
        .collect();
    // The innermost function makes two calls: to the unwinder, and to malloc.
    assert_eq!(found[1..], told[1..], "{chain}: {:?}", stacked.names(stack));
    assert_eq!(stacked.names(stack)[0], "allocate", "{chain}");
}

#[test]
fn a_process_that_was_attached_to_has_native_stacks() {
    let source = include_str!("../programs/chains.c");
    let program = Program::c_linked("chains", source, Linking::Dynamic, &["-O2", "-pthread"]).unwrap();
    let mut target = program.spawn().unwrap();
    let mut collector = Collector::new(&NATIVE, Vec::new()).unwrap();
    let agent = attach::agent();
    let process = || attach::process(&target);
    let attached = agent.attach(&process(), &collector.settings(), &attach::patient()).unwrap();
    collector.attached(process(), attached.memory);
    let answers: Vec<String> =
        while_turning(&mut collector, || CHAINS.iter().map(|chain| target.ask(chain).unwrap()).collect());
    agent.detach(&attach::process(&target), &attach::patient()).unwrap();
    let (_, bytes) = collector.end().unwrap();
    let stacked = Stacked::read(&bytes);
    for (chain, answer) in CHAINS.iter().zip(&answers) {
        check_chain(&stacked, chain, answer);
    }
}

#[test]
fn chains_of_c_are_what_the_runtime_says() {
    check_chains(Linking::Dynamic, &["-O2", "-pthread"]);
    check_chains(Linking::Dynamic, &["-O2", "-fno-omit-frame-pointer", "-pthread"]);
    check_chains(Linking::DynamicFixed, &["-O1", "-pthread"]);
    check_chains(Linking::Dynamic, &["-O0", "-pthread"]);
}

#[test]
fn a_stack_that_a_program_has_made_itself_is_one_stack() {
    let mut collector = Collector::begin(&NATIVE, Vec::new()).unwrap();
    let program = under(&collector, &program!("coroutine"));
    let n_allocated: usize = while_turning(&mut collector, || {
        let mut target = program.spawn().unwrap();
        let answer = target.ask("go").unwrap();
        assert!(target.finish().unwrap().success());
        answer.parse().unwrap()
    });
    let (_, bytes) = collector.end().unwrap();
    let stacked = Stacked::read(&bytes);
    let is_of_body = |&&(_, _, stack): &&(u64, u64, u32)| stacked.names(stack).contains(&"body");
    let mut stacks: Vec<u32> =
        stacked.allocations.iter().filter(is_of_body).map(|&(_, _, stack)| stack).collect();
    assert_eq!(stacks.len(), n_allocated);
    // The first ones may come before all rules are there.
    stacks.dedup();
    assert!(stacks.len() <= 3, "{} stacks", stacks.len());
    let last = stacked.names(*stacks.last().unwrap());
    assert_eq!(last, ["body", "(native frames left out)"]);
}

/// C that calls Python back, and allocates.
const PLANTED: &str = "
#include <stdlib.h>
void *planted_block;
__attribute__((noinline)) void planted_inner(size_t size) { planted_block = malloc(size); __asm__ volatile(\"\"); }
__attribute__((noinline)) int planted_outer(int (*call)(int), int n) { return call(n) + 1; }
";

const MIXED: &str = r#"
import ctypes, sys, traceback
sys.setrecursionlimit(3000)
planted = ctypes.CDLL(sys.argv[1])
planted.planted_inner.argtypes = [ctypes.c_size_t]
kept = []

def told(case, size):
    frames = traceback.extract_stack()[:-1]
    reply(f"{case} {size} " + " ".join(frame.name for frame in reversed(frames)))

def allocate(case, size):
    told(case, size + 33)
    kept.append(bytes(size))

def nested(n, case, size):
    if n:
        return nested(n - 1, case, size)
    allocate(case, size)

def items(case, size):
    yield 1
    allocate(case, size)
    yield 2

def by_sort(case, size):
    def key(item):
        if item == 2:
            allocate(case, size)
        return item
    sorted([1, 2, 3], key=key)

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
def called_back(n):
    told("planted", 777_777)
    planted.planted_inner(777_777)
    return n

class Deleted:
    def __del__(self):
        allocate("deleted", 600_005)

def by_deletion():
    one = Deleted()
    one = None

def by_exception(case, size):
    try:
        raise ValueError
    except ValueError:
        nested(2, case, size)

ready()
for _ in commands():
    allocate("plain", 600_000)
    nested(5, "nested", 600_001)
    list(items("generator", 600_002))
    list(map(lambda item: nested(1, "mapped", 600_003 + item), [0]))
    by_sort("sorted", 600_004)
    by_deletion()
    by_exception("exception", 600_006)
    nested(400, "deep", 600_007)
    list(generated for generated in items("expression", 600_008))
    planted.planted_outer(called_back, 3)
    reply("end")
"#;

/// Python's frames, interleaved with those of native code, are Python's own account; for one interpreter.
fn check_mixed(interpreter: &Interpreter, planted: &Path) {
    let name = interpreter.to_string();
    let mut collector = Collector::begin(&NATIVE, Vec::new()).unwrap();
    let program = Program::python(interpreter, "mixed", MIXED).unwrap().arg(planted);
    let program = under(&collector, &program);
    let answers = while_turning(&mut collector, || {
        let mut target = program.spawn().unwrap();
        let mut answers = vec![target.ask("go").unwrap()];
        while answers.last().is_some_and(|answer| answer != "end") {
            answers.push(target.answer("go").unwrap());
        }
        assert!(target.finish().unwrap().success());
        answers
    });
    let (_, bytes) = collector.end().unwrap();
    let stacked = Stacked::read(&bytes);
    assert_eq!(answers.len(), 11, "{name}: {answers:?}");
    for answer in &answers[..10] {
        let mut words = answer.split_whitespace();
        let (case, size) = (words.next().unwrap(), words.next().unwrap().parse::<u64>().unwrap());
        let expected: Vec<&str> = words.collect();
        let allocation = stacked.allocations.iter().find(|(_, found, _)| *found == size);
        let &(_, _, stack) = allocation.unwrap_or_else(|| panic!("{name} {case}: not recorded"));
        let names = stacked.names(stack);
        let python: Vec<&str> = stacked
            .frames(stack)
            .into_iter()
            .filter_map(|frame| match frame {
                Frame::Other(function) => Some(function.rsplit('.').next().unwrap_or(function)),
                Frame::Native { .. } => None,
            })
            .collect();
        assert_eq!(python, expected, "{name} {case}: {names:?}");
        assert!(!names.contains(&"_PyEval_EvalFrameDefault"), "{name} {case}: {names:?}");
        assert_eq!(*names.last().unwrap(), "_start", "{name} {case}: {names:?}");
        if case == "planted" {
            let at = |function: &str| {
                let found = names.iter().position(|&name| name == function);
                found.unwrap_or_else(|| panic!("{name}: no {function} in {names:?}"))
            };
            let order =
                [at("planted_inner"), at("called_back"), at("planted_outer"), at("<module>"), at("_start")];
            assert!(order.is_sorted(), "{name}: {names:?}");
            assert_eq!(order[0], 0, "{name}: {names:?}");
            let line = |level: usize| match stacked.frames(stack)[level] {
                Frame::Native { line, .. } => line.as_str(),
                Frame::Other(_) => "",
            };
            assert_eq!([line(order[0]), line(order[2])], ["planted.c:4", "planted.c:5"], "{name}");
        }
    }
}

#[test]
fn python_and_native_frames_interleave_as_they_called_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (source, planted) = (folder.path().join("planted.c"), folder.path().join("planted.so"));
    std::fs::write(&source, PLANTED).unwrap();
    // Compressed, as distributions have it.
    let flags = ["-O2", "-g", "-gz", "-shared", "-fPIC", "-o"];
    let built = Command::new("cc").args(flags).arg(&planted).arg(&source).status().unwrap();
    assert!(built.success());
    let known = |one: &&Interpreter| one.is_plain() && (8..=13).contains(&one.version().1);
    let known: Vec<&Interpreter> = interpreters().iter().filter(known).collect();
    assert!(!known.is_empty(), "no CPython 3.8 to 3.13 here");
    for interpreter in known {
        check_mixed(interpreter, &planted);
    }
}
