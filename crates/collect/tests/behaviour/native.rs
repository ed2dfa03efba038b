//! Stacks of native code: what the agent finds by tables made outside is what the program's own runtime finds.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use slackwater_capture::{Allocation, Capture, NativeCode, Record};
use slackwater_collect::{Collector, Options, Stacks};
use slackwater_testkit::{Linking, Program};

use crate::recording::{EXACT, under, while_turning};

/// Every event, with native stacks.
const NATIVE: Options = Options { stacks: Stacks::Native, ..EXACT };

/// A frame of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// A line of Python, or a mark: its function.
    Other(String),
    /// Native code.
    Native { function: String, module: String, offset: u64 },
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
            Record::Native(NativeCode { id, function, module, offset, .. }) => {
                let module = module.rsplit('/').next().unwrap_or_default().to_owned();
                let frame = Frame::Native { function: function.to_string(), module, offset: *offset };
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
        assert_eq!(found[1..], told[1..], "{chain} {flags:?}: {:?}", stacked.names(stack));
        assert_eq!(stacked.names(stack)[0], "allocate", "{chain} {flags:?}");
    }
}

#[test]
fn chains_of_c_are_what_the_runtime_says() {
    check_chains(Linking::Dynamic, &["-O2", "-pthread"]);
    check_chains(Linking::Dynamic, &["-O2", "-fno-omit-frame-pointer", "-pthread"]);
    check_chains(Linking::DynamicFixed, &["-O1", "-pthread"]);
    check_chains(Linking::Dynamic, &["-O0", "-pthread"]);
}
