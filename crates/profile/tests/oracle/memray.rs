//! The same program recorded by memray: every block that it saw has been seen, by function and size, and no other.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use slackwater_capture::transport::Mode;
use slackwater_capture::{Capture, Measure, Record};
use slackwater_testkit::wheel;

use super::{captured, options};

/// Work of several kinds, each once before it counts, so that what memray has imported makes no difference.
const SHARED: &str = "
import json, sys, threading, zlib

DOCUMENT = [{'id': i, 'name': 'x' * (i % 900), 'v': [1.5, 2, 3]} for i in range(500)]

def text():
    return [json.loads(json.dumps(DOCUMENT)) for _ in range(10)]

def numbers():
    grown = []
    for i in range(50_000):
        grown.append(i * 1.5)
    return sorted(grown, reverse=True), {i: str(i) for i in range(20_000)}, set(range(30_000))

def compressed():
    return [zlib.decompress(zlib.compress(bytes(n * 1000))) for n in range(1, 40)]

def deep(n):
    block = bytearray(600 + n)
    return deep(n - 1) if n else block

def measured_text(): text()
def measured_numbers(): numbers()
def measured_compressed(): compressed()
def measured_deep(): deep(300)
def measured_thread(): text(); deep(200)

for work in (text, numbers, compressed): work()
deep(300)
for work in (measured_text, measured_numbers, measured_compressed, measured_deep): work()
thread = threading.Thread(target=measured_thread)
thread.start()
thread.join()
";

/// Tells what memray has recorded: a line for each function and size. Mappings are left out: which function
/// makes pymalloc ask for another arena depends on how full the last one was.
const READER: &str = "
import collections, sys
from memray import AllocatorType, FileReader
counts = collections.Counter()
other = {AllocatorType.FREE, AllocatorType.MMAP, AllocatorType.MUNMAP}
with FileReader(sys.argv[1]) as reader:
    for record in reader.get_allocation_records():
        if record.allocator not in other:
            for function, *_ in record.stack_trace():
                if function.startswith('measured_'):
                    counts[function, record.size] += record.n_allocations
for (function, size), count in counts.items():
    print(function, size, count)
";

type Counts = BTreeMap<(String, u64), u64>;

fn seen_by_memray(python: &Path, program: &Path, folder: &Path) -> Counts {
    let capture = folder.join("memray.bin");
    let run = |command: &mut Command| {
        let output = command.env("PYTHONHASHSEED", "0").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(Command::new(python).args(["-m", "memray", "run", "-q", "-o"]).arg(&capture).arg(program));
    let told = run(Command::new(python).args(["-c", READER]).arg(&capture));
    let line = |line: &str| {
        let mut words = line.split(' ');
        let function = words.next()?.to_owned();
        Some(((function, words.next()?.parse().ok()?), words.next()?.parse().ok()?))
    };
    told.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

fn seen_by_us(python: &Path, program: &Path) -> Counts {
    let mut command = Command::new(python);
    command.arg(program).env("PYTHONHASHSEED", "0");
    let (bytes, summary) = captured(&options(Mode::Exact, 0), command);
    assert_eq!((summary.n_lost, summary.n_degraded), (0, 0));
    let mut capture = Capture::from_reader(Path::new("ours"), Cursor::new(bytes)).unwrap().value;
    // Of each stack the function that counts, which its callees have from it.
    let (mut functions, mut measured) = (BTreeMap::new(), BTreeMap::<u32, String>::new());
    let mut counts = Counts::new();
    let gaps = capture.play(|_, record| match record {
        Record::Location { id, function, .. } => {
            functions.insert(*id, function.to_string());
        }
        Record::Stack { id, parent, location } => {
            let own = functions.get(location).filter(|function| function.starts_with("measured_"));
            if let Some(function) = own.or_else(|| measured.get(parent)).cloned() {
                measured.insert(*id, function);
            }
        }
        Record::Allocation(one) if one.measure != Measure::Mapping => {
            if let Some(function) = measured.get(&one.stack) {
                *counts.entry((function.clone(), one.size)).or_default() += 1;
            }
        }
        _ => {}
    });
    assert_eq!(gaps.unwrap(), []);
    counts
}

#[test]
fn fault_43_memray_has_seen_the_same_blocks() {
    let (Some(python), Some(_)) = (wheel("python"), wheel("memray")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("shared.py");
    std::fs::write(&program, SHARED).unwrap();
    let theirs = seen_by_memray(&python, &program, folder.path());
    let ours = seen_by_us(&python, &program);
    let n_blocks: u64 = theirs.values().sum();
    assert!(n_blocks > 1500, "{n_blocks}");
    let of = |counts: &Counts, key| counts.get(key).copied().unwrap_or(0);
    let keys = ours.keys().chain(theirs.keys());
    let differences: Vec<_> = keys
        .filter(|key| of(&ours, key) != of(&theirs, key))
        .map(|key| {
            format!("{} {}: {} of ours, {} of memray's", key.0, key.1, of(&ours, key), of(&theirs, key))
        })
        .collect();
    assert_eq!(differences, [""; 0]);
}
