//! Python's own allocators: each block of the domains `raw`, `mem` and `object` is seen once, with its size
//! and its line, on every CPython; and whoever else stands in front of them comes and goes as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use slackwater_base::Addr;
use slackwater_capture::transport::PythonAllocators;
use slackwater_capture::transport::late::{Heard, PYTHON_ALLOCATORS};
use slackwater_capture::{Allocation, Capture, Measure, Record};
use slackwater_collect::{Collector, Options, Summary};
use slackwater_memory::{Kind, Mapping};
use slackwater_testkit::{Interpreter, Program, Target, agent_library, allocator_library, interpreters};

use crate::attach::{agent, is_with_proc, patient, process};
use crate::recording::{EXACT, SAMPLED, turn_until, while_turning};

const OBJECTS: Options = Options { python_allocators: PythonAllocators::All, ..EXACT };

/// A block: how it was asked for, its size, the function that did and its line.
type Block = (Measure, u64, String, u32);

/// What a capture has of Python's blocks.
#[derive(Default)]
struct Seen {
    allocated: BTreeMap<Block, u64>,
    live: BTreeMap<u64, Block>,
    /// What was there when another block came, and that one.
    doubled: Vec<[Block; 2]>,
    n_lost: u64,
    facts: BTreeMap<String, String>,
    /// Functions by whose leave mappings of these sizes were made.
    mapped: BTreeMap<u64, Vec<String>>,
}

impl Seen {
    fn of(bytes: &[u8]) -> Self {
        let mut seen = Self::default();
        let (mut locations, mut stacks) = (BTreeMap::new(), BTreeMap::new());
        let mut events = Vec::new();
        let mut opened = Capture::from_reader(Path::new("test"), Cursor::new(bytes)).unwrap();
        let gaps = opened.value.play(|_, record| match record {
            Record::Location { id, line, function, .. } => {
                locations.insert(*id, (function.to_string(), *line));
            }
            Record::Stack { id, location, .. } => {
                stacks.insert(*id, *location);
            }
            Record::Fact { key, value } => {
                seen.facts.insert(key.to_string(), value.to_string());
            }
            Record::Lost(n_events) => seen.n_lost += n_events,
            Record::Allocation(allocation) => events.push((allocation.addr, Some(*allocation))),
            Record::Free { addr, .. } | Record::Unmapped { addr, .. } => events.push((*addr, None)),
            _ => {}
        });
        assert_eq!((gaps.unwrap(), opened.gaps), (vec![], vec![]));
        for (addr, allocation) in events {
            let Some(Allocation { measure, size, stack, .. }) = allocation else {
                seen.live.remove(&addr);
                continue;
            };
            let place = stacks.get(&stack).and_then(|location| locations.get(location)).cloned();
            let (function, line) = place.unwrap_or_default();
            if measure == Measure::Mapping {
                seen.mapped.entry(size).or_default().push(function.clone());
            }
            let block = (measure, size, function, line);
            *seen.allocated.entry(block.clone()).or_default() += 1;
            if let Some(former) = seen.live.insert(addr, block.clone()) {
                seen.doubled.push([former, block]);
            }
        }
        seen
    }

    /// How many blocks of this size a function asked for, by how it did.
    fn of_size(&self, size: u64, function: &str) -> BTreeMap<Measure, u64> {
        let mut counts = BTreeMap::new();
        let is_it = |block: &Block| block.1 == size && block.2 == function;
        for (block, n) in self.allocated.iter().filter(|(block, _)| is_it(block)) {
            *counts.entry(block.0).or_default() += n;
        }
        counts
    }

    /// Live blocks of this size that a function asked for.
    fn live_of(&self, size: u64, function: &str) -> usize {
        self.n_live(|block| block.1 == size && block.2 == function)
    }

    fn n_live(&self, is_it: impl Fn(&Block) -> bool) -> usize {
        self.live.values().filter(|block| is_it(block)).count()
    }

    /// Who mapped what may be an arena.
    fn arenas(&self) -> Vec<&str> {
        let sizes = [256 << 10, 1 << 20].iter().filter_map(|size| self.mapped.get(size));
        sizes.flatten().map(String::as_str).collect()
    }

    /// Live objects of `keep` and `keep_more`.
    fn kept(&self) -> [usize; 2] {
        [self.live_of(93, "keep"), self.live_of(94, "keep_more")]
    }

    /// Live blocks of the domains that `sys.getallocatedblocks` counts.
    fn n_objects(&self) -> usize {
        self.n_live(|block| matches!(block.0, Measure::Mem | Measure::Object))
    }
}

/// Those whose allocators are known.
fn known() -> impl Iterator<Item = &'static Interpreter> {
    interpreters().iter().filter(|one| one.is_plain())
}

/// Runs a command to its end while it is recorded; what it wrote.
fn record(options: &Options, command: &mut Command) -> (Seen, Summary, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    command.stdout(File::create(&out).unwrap());
    let mut collector = Collector::begin(options, Vec::new()).unwrap();
    command.env("SLACKWATER_RECORD", collector.path());
    if !command.get_envs().any(|(name, _)| name == "LD_PRELOAD") {
        command.env("LD_PRELOAD", agent_library().unwrap());
    }
    let mut child = command.spawn().unwrap();
    let mut status = None;
    turn_until(&mut collector, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{status:?}");
    let (summary, bytes) = collector.end().unwrap();
    (Seen::of(&bytes), summary, std::fs::read_to_string(out).unwrap())
}

/// Blocks of every domain, by functions and lines that are known.
const PLANTED: &str = "
import ctypes, os, sys, threading

def ask(name, *arguments):
    function = getattr(ctypes.pythonapi, name)
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_size_t if type(one) is int else ctypes.c_void_p for one in arguments]
    return ctypes.c_void_p(function(*arguments))

def give(name, block):
    function = getattr(ctypes.pythonapi, name)
    function.restype, function.argtypes = None, [ctypes.c_void_p]
    function(block)

def small(n, kept):
    for idx in range(n):
        kept.append(bytes(60))

def large(n, kept):
    for idx in range(n):
        kept.append(bytes(1234))

def lists(n, kept):
    for idx in range(n):
        kept.append([None] * 919)

def short(n):
    for idx in range(n):
        bytes(77)

def asked():
    blocks = []
    for _ in range(50):
        blocks.append((ask('PyMem_RawMalloc', 7001), ask('PyMem_Malloc', 7003), ask('PyObject_Malloc', 407)))
        blocks.append((ask('PyMem_RawCalloc', 7, 1001), ask('PyMem_Calloc', 7, 67), ask('PyObject_Calloc', 7, 71)))
    for raw, mem, block in blocks:
        give('PyMem_RawFree', raw), give('PyMem_Free', mem), give('PyObject_Free', block)
    block = ask('PyObject_Malloc', 303)
    for size in (909, 211, 70_001, 401):
        block = ask('PyObject_Realloc', block, size)
    return block

kept, gone = [], []
small(3000, kept)
large(700, kept)
lists(50, kept)
short(4000)
last = asked()
small(2000, gone)
thread = threading.Thread(target=gone.clear)
thread.start()
thread.join()
del thread
n = sys.getallocatedblocks()
sys.stdout.write(str(n))
sys.stdout.flush()
os._exit(0)
";

/// Counts are exact, by the interpreter's own count, too.
#[test]
fn each_block_of_each_domain_is_seen_once_with_its_size_and_line() {
    for interpreter in known() {
        let mut command = Program::python(interpreter, "objects", PLANTED).unwrap().to_command();
        let (seen, summary, n_blocks) = record(&OBJECTS, &mut command);
        let who = interpreter.to_string();
        assert_eq!((summary.n_lost, summary.n_degraded, &seen.doubled[..]), (0, 0, &[][..]), "{who}");
        assert_eq!(seen.facts.get(PYTHON_ALLOCATORS), None, "{who}");

        let of = |size, function| seen.of_size(size, function);
        let object = |n| BTreeMap::from([(Measure::Object, n)]);
        assert_eq!(of(93, "small"), object(5000), "{who}");
        // Larger than the interpreter's own allocator serves: malloc's block is the same one.
        assert_eq!(of(1267, "large"), object(700), "{who}");
        assert_eq!(of(110, "short"), object(4000), "{who}");
        assert_eq!(of(7352, "lists"), BTreeMap::from([(Measure::Mem, 50)]), "{who}");
        let live = [(93, "small"), (1267, "large"), (7352, "lists")]
            .map(|(size, function)| seen.live_of(size, function));
        assert_eq!(live, [3000, 700, 50], "{who}");
        let lines = seen.allocated.keys().filter(|block| block.1 == 93 && block.2 == "small");
        assert_eq!(lines.map(|block| block.3).collect::<Vec<_>>().len(), 1, "{who}");

        let raw = BTreeMap::from([(Measure::Raw, 50)]);
        let mem = BTreeMap::from([(Measure::Mem, 50)]);
        assert_eq!(
            (of(7001, "ask"), of(7003, "ask"), of(407, "ask")),
            (raw.clone(), mem.clone(), object(50))
        );
        assert_eq!((of(7007, "ask"), of(469, "ask"), of(497, "ask")), (raw, mem, object(50)), "{who}");
        let asked = [303, 909, 211, 70_001, 401];
        assert!(asked.iter().all(|&size| of(size, "ask") == object(1)), "{who}");
        assert_eq!(asked.map(|size| seen.live_of(size, "ask")), [0, 0, 0, 0, 1], "{who}");

        let n_blocks: usize = n_blocks.parse().unwrap();
        assert!(seen.n_objects().abs_diff(n_blocks) < 20, "{who}: {} of {n_blocks}", seen.n_objects());
        // What they are in is not counted beside them.
        assert_eq!(seen.arenas(), [""; 0], "{who}");
    }
}

#[test]
fn without_being_asked_for_none_is_seen() {
    let interpreter = known().last().expect("a Python");
    let mut command = Program::python(interpreter, "objects", PLANTED).unwrap().to_command();
    let (seen, _, _) = record(&EXACT, &mut command);
    assert!(seen.of_size(93, "small").is_empty() && seen.n_objects() == 0);
    assert_eq!(seen.of_size(1267, "large").values().sum::<u64>(), 700);
    // Arenas are, of which no line is to blame for more than the rest.
    assert!(seen.arenas().len() > 1);
    assert!(seen.arenas().iter().all(|&function| function == "(arenas of Python's own allocator)"));
}

/// Python sets its allocators anew when it starts: `-X dev` and `PYTHONMALLOC` put others in front, or in
/// their place.
#[test]
fn whatever_python_is_told_to_allocate_with_is_seen() {
    let more = ["pymalloc", "debug", "malloc", "malloc_debug", "default"];
    let last = known().last().expect("a Python");
    for interpreter in known() {
        let program = Program::python(interpreter, "objects", PLANTED).unwrap();
        let choices = ["pymalloc_debug"].iter().chain(if interpreter == last { &more[..] } else { &[] });
        let by_choice = choices.map(|choice| program.clone().env("PYTHONMALLOC", choice));
        let dev = [program.clone().env("PYTHONDEVMODE", "1"), program.clone().env("PYTHONTRACEMALLOC", "5")];
        for program in by_choice.chain(dev) {
            let mut command = program.to_command();
            let (seen, summary, _) = record(&OBJECTS, &mut command);
            let who = format!("{interpreter} {:?}", command.get_envs().collect::<Vec<_>>());
            assert_eq!((summary.n_lost, &seen.doubled[..]), (0, &[][..]), "{who}");
            // The debug hooks ask for some bytes more.
            let is_it = |block: &Block| (93..=93 + 32).contains(&block.1) && block.2 == "small";
            let n_allocated: u64 =
                seen.allocated.iter().filter(|(block, _)| is_it(block)).map(|(_, n)| n).sum();
            assert_eq!((n_allocated, seen.n_live(is_it)), (5000, 3000), "{who}");
        }
    }
}

#[test]
fn pools_of_our_allocator_are_seen_without_being_asked_for() {
    for interpreter in known() {
        let mut command = Program::python(interpreter, "objects", PLANTED).unwrap().to_command();
        let preload =
            [agent_library().unwrap(), allocator_library().unwrap()].map(|path| path.display().to_string());
        command.env("LD_PRELOAD", preload.join(":"));
        let (seen, summary, _) = record(&EXACT, &mut command);
        assert_eq!((summary.n_lost, &seen.doubled[..]), (0, &[][..]), "{interpreter}");
        assert_eq!(seen.of_size(93, "small"), BTreeMap::from([(Measure::Object, 5000)]), "{interpreter}");
        assert_eq!(seen.of_size(1267, "large"), BTreeMap::from([(Measure::Object, 700)]), "{interpreter}");
        assert_eq!((seen.live_of(93, "small"), seen.live_of(1267, "large")), (3000, 700), "{interpreter}");
    }
}

const KEEPS: &str = "
import sys, tracemalloc
kept, other = [], []
def keep():
    for _ in range(2000):
        kept.append(bytes(60))
def keep_more():
    for _ in range(1000):
        other.append(bytes(61))
keep()
ready()
for command in commands():
    if command == 'keep':
        keep()
    elif command == 'keep more':
        keep_more()
    elif command == 'drop':
        kept.clear()
    elif command == 'trace':
        tracemalloc.start()
    elif command == 'traced':
        reply(tracemalloc.get_traced_memory()[0])
        continue
    elif command == 'end trace':
        tracemalloc.stop()
    reply('done')
";

fn keeping(interpreter: &Interpreter) -> Target {
    Program::python(interpreter, "keeps", KEEPS).unwrap().spawn().unwrap()
}

/// What is seen of a process between attaching and detaching, while `work` is done.
fn attached(options: &Options, target: &mut Target, work: impl FnOnce(&mut Target)) -> Seen {
    let agent = agent();
    let mut collector = Collector::new(options, Vec::new()).unwrap();
    let attached = agent.attach(&process(target), &collector.settings(), &patient()).unwrap();
    assert_eq!(attached.heard, Heard::Each, "{attached:?}");
    collector.attached(process(target), attached.memory);
    while_turning(&mut collector, || work(target));
    agent.detach(&process(target), &patient()).unwrap();
    let (_, bytes) = collector.end().unwrap();
    let seen = Seen::of(&bytes);
    assert_eq!((seen.n_lost, &seen.doubled[..]), (0, &[][..]));
    seen
}

fn ask(target: &mut Target, commands: &[&str]) {
    for command in commands {
        assert_eq!(target.ask(command).unwrap(), "done", "{command}");
    }
}

/// Addresses of the agent's code in the interpreter's data.
fn words_of(target: &Target) -> Vec<u64> {
    let memory = File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let maps = process(target).maps().unwrap();
    let is_agent = |one: &&Mapping| matches!(&one.kind, Kind::Shmem { name } if name.to_string_lossy().contains("slackwater_agent"));
    let code: Vec<_> =
        maps.iter().filter(is_agent).filter(|one| one.access.execute).map(|one| one.range).collect();
    assert!(!code.is_empty(), "the agent is not there");
    let first = maps.iter().position(|one| one.file_name().is_some_and(|name| name.contains("python")));
    // The variables that are zero at first lie behind the file's pages, and belong to no file.
    let data = maps.iter().skip(first.unwrap()).take(8).filter(|one| one.access.write);
    let mut found = Vec::new();
    for mapping in data.filter(|one| one.kind != Kind::Heap) {
        let mut bytes = vec![0; mapping.range.len() as usize];
        memory.read_exact_at(&mut bytes, mapping.range.start.get()).unwrap();
        let words = bytes.as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word));
        found.extend(words.filter(|&word| code.iter().any(|range| range.contains(Addr(word)))));
    }
    found
}

#[test]
fn objects_are_seen_from_attaching_to_leaving_and_again() {
    for interpreter in known() {
        let mut target = keeping(interpreter);
        for round in 0..2 {
            let seen = attached(&OBJECTS, &mut target, |target| ask(target, &["drop", "keep", "keep more"]));
            assert_eq!(seen.kept(), [2000, 1000], "{interpreter}, round {round}");
            assert_eq!(seen.of_size(93, "keep"), BTreeMap::from([(Measure::Object, 2000)]), "{interpreter}");
            assert!(words_of(&target).is_empty(), "{interpreter}: it still calls the agent, round {round}");
        }
        ask(&mut target, &["drop", "keep"]);
    }
}

/// Debian's own, of releases that are not installed beside the others: 3.14 for one.
#[test]
fn objects_are_seen_in_pythons_of_other_roots() {
    if !is_with_proc("domains::objects_are_seen_in_pythons_of_other_roots") {
        return;
    }
    let others = |one: &&Interpreter| one.root().is_some() && !one.is_free_threaded() && !one.is_debug();
    for interpreter in interpreters().iter().filter(others) {
        let mut target = keeping(interpreter);
        let seen = attached(&OBJECTS, &mut target, |target| ask(target, &["drop", "keep", "keep more"]));
        assert_eq!(seen.kept(), [2000, 1000], "{interpreter}");
        let lines = |function| {
            let blocks = seen.live.values().filter(move |block| block.2 == function && block.1 > 90);
            blocks.map(|block| block.3).collect::<BTreeSet<_>>()
        };
        assert_eq!(lines("keep").len(), 1, "{interpreter}");
        assert_eq!(lines("keep_more"), lines("keep").iter().map(|line| line + 3).collect(), "{interpreter}");
        assert!(words_of(&target).is_empty(), "{interpreter}: it still calls the agent");
        ask(&mut target, &["drop", "keep"]);
    }
}

/// tracemalloc copies what it stands in front of, and puts it back when it ends.
#[test]
fn tracemalloc_may_come_and_go_before_while_and_after() {
    for interpreter in known() {
        // There before, and gone meanwhile.
        let mut target = keeping(interpreter);
        ask(&mut target, &["trace"]);
        let seen = attached(&OBJECTS, &mut target, |target| {
            ask(target, &["keep", "end trace", "keep more"]);
        });
        assert_eq!(seen.kept(), [2000, 1000], "{interpreter}");
        assert!(words_of(&target).is_empty(), "{interpreter}");
        // There meanwhile, and after.
        let seen = attached(&OBJECTS, &mut target, |target| {
            ask(target, &["trace", "keep"]);
            let traced: u64 = target.ask("traced").unwrap().parse().unwrap();
            assert!(traced > 2000 * 93, "{interpreter}: tracemalloc sees {traced} bytes");
        });
        assert_eq!(seen.kept(), [2000, 0], "{interpreter}");
        ask(&mut target, &["keep", "end trace", "keep more", "drop"]);
        assert!(words_of(&target).is_empty(), "{interpreter}");
    }
}

#[test]
fn pools_of_our_allocator_are_seen_in_a_process_that_runs() {
    for interpreter in known() {
        let program = Program::python(interpreter, "keeps", KEEPS).unwrap();
        let mut target = program.env("LD_PRELOAD", allocator_library().unwrap()).spawn().unwrap();
        let seen = attached(&EXACT, &mut target, |target| ask(target, &["drop", "keep", "keep more"]));
        assert_eq!(seen.kept(), [2000, 1000], "{interpreter}");
        assert!(words_of(&target).is_empty(), "{interpreter}");
        ask(&mut target, &["drop", "keep"]);
    }
}

/// A context that is not the interpreter's own: whoever put it there may go again, and put back what was there.
#[test]
fn another_tool_in_front_of_the_allocators_is_named_and_left_alone() {
    let source = "
import ctypes
record = (ctypes.c_void_p * 5)()
ctypes.pythonapi.PyMem_GetAllocator(2, record)
assert not record[0]
record[0] = ctypes.addressof(record)
ctypes.pythonapi.PyMem_SetAllocator(2, record)
ready()
for command in commands():
    reply(sum(bytes(60) in [bytes(60)] for _ in range(1000)))
";
    let interpreter = known().last().expect("a Python");
    let mut target = Program::python(interpreter, "wrapped", source).unwrap().spawn().unwrap();
    let settings = Collector::new(&OBJECTS, Vec::new()).unwrap().settings();
    let attached = agent().attach(&process(&target), &settings, &patient()).unwrap();
    assert_eq!(attached.heard, Heard::Wrapped);
    assert!(words_of(&target).is_empty());
    assert_eq!(target.ask("go on").unwrap(), "1000");
}

/// Samples stand for their like, of all domains together.
#[test]
fn samples_of_objects_are_as_many_as_their_bytes() {
    let options = Options { python_allocators: PythonAllocators::All, sample_mean: 1024, seed: 7, ..SAMPLED };
    let interpreter = known().last().expect("a Python");
    let mut target = keeping(interpreter);
    let seen = attached(&options, &mut target, |target| ask(target, &["drop", "keep", "keep more"]));
    // Each is sampled with a probability of 1 - exp(-93 / 1024): 173 of 2000, give or take.
    let [n, _] = seen.kept();
    assert!((120..230).contains(&n), "{n} of 2000");
    ask(&mut target, &["drop"]);
}

#[test]
fn builds_whose_allocators_are_not_known_are_refused_by_name() {
    let others = interpreters().iter().filter(|one| one.is_free_threaded() || one.is_debug());
    for interpreter in others.filter(|one| one.root().is_none()) {
        let mut target = Program::python(interpreter, "keeps", KEEPS).unwrap().spawn().unwrap();
        let settings = Collector::new(&OBJECTS, Vec::new()).unwrap().settings();
        let attached = agent().attach(&process(&target), &settings, &patient()).unwrap();
        let expected = if interpreter.is_debug() { Heard::DebugBuild } else { Heard::FreeThreaded };
        assert_eq!(attached.heard, expected, "{interpreter}");
        ask(&mut target, &["drop", "keep"]);
        let mut command = Program::python(interpreter, "objects", PLANTED).unwrap().to_command();
        let (seen, summary, _) = record(&OBJECTS, &mut command);
        let why = seen.facts.get(PYTHON_ALLOCATORS).map(String::as_str);
        assert_eq!(why, expected.why_not(), "{interpreter}");
        assert_eq!(summary.no_objects.as_deref(), why, "{interpreter}");
    }
}

/// What a program that is started is refused for is told with what the recording came to. A library that
/// exports what debug builds do stands for one.
#[test]
fn a_program_that_is_started_is_refused_by_name_too() {
    let folder = tempfile::tempdir().unwrap();
    let [source, library] = ["debug.c", "debug.so"].map(|name| folder.path().join(name));
    std::fs::write(&source, "void _Py_NegativeRefcount(void) {}").unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.unwrap().success());
    let interpreter = known().last().expect("a Python");
    let mut command = Program::python(interpreter, "objects", PLANTED).unwrap().to_command();
    let preload = [agent_library().unwrap(), library].map(|path| path.display().to_string());
    command.env("LD_PRELOAD", preload.join(":"));
    let (seen, summary, _) = record(&OBJECTS, &mut command);
    assert_eq!(summary.no_objects.as_deref(), Heard::DebugBuild.why_not());
    assert_eq!(seen.facts.get(PYTHON_ALLOCATORS), summary.no_objects.as_ref());
    assert_eq!(seen.n_objects(), 0);
}

/// The case that other tools have crashed in: a tree whose lists of children grow while the collector of
/// cycles runs (xml.etree's C implementation calls PyObject_Realloc with them).
#[test]
fn fault_22_lists_of_elements_that_grow_while_garbage_is_collected() {
    let source = "
import gc, xml.etree.ElementTree as tree
gc.set_threshold(1, 1, 1)
def grow(parent, depth):
    for idx in range(12):
        child = tree.SubElement(parent, 'child', {'idx': str(idx)})
        cycle = []
        cycle.append(cycle)
        if depth:
            grow(child, depth - 1)
root = tree.Element('root')
grow(root, 2)
assert len(list(root.iter())) == 1 + 12 + 144 + 1728
tree.fromstring(tree.tostring(root))
print('whole')
";
    for interpreter in known() {
        for options in
            [OBJECTS, Options { sample_mean: 64, python_allocators: PythonAllocators::All, ..SAMPLED }]
        {
            let mut command = Program::python(interpreter, "elements", source).unwrap().to_command();
            let (_, _, out) = record(&options, &mut command);
            assert_eq!(out.trim(), "whole", "{interpreter}");
        }
    }
}
