//! Programs whose every allocation is known, recorded and added up again, on every CPython found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "oracle/memray.rs"]
mod memray;
#[path = "oracle/switching.rs"]
mod switching;

use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use slackwater_capture::transport::{Mode, PythonAllocators};
use slackwater_capture::{Capture, Ending};
use slackwater_collect::{Collector, Options, Summary};
use slackwater_profile::{Estimate, Interval, Profile, StackId, Window};
use slackwater_testkit::{Interpreter, Program, agent_library, interpreters, rounds};

/// Three functions ask for blocks of known number and size, and one of them keeps its own.
const PLANTED: &str = "
import sys

def keep(n, size):
    return [bytes(size) for _ in range(n)]

def drop(n, size):
    for _ in range(n):
        bytes(size)

def deep(n, size):
    if n == 0:
        return bytearray(size)
    return deep(n - 1, size)

kept = keep(N_KEPT, KEPT)
drop(N_DROPPED, DROPPED)
deeper = [deep(20, DEEP) for _ in range(N_DEEP)]
";

const SIZES: [(&str, &str); 6] = [
    ("N_KEPT", "3000"),
    ("N_DROPPED", "5000"),
    ("N_DEEP", "40"),
    ("KEPT", "8000"),
    ("DROPPED", "3000"),
    ("DEEP", "100000"),
];

fn planted() -> String {
    SIZES.iter().fold(PLANTED.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn options(mode: Mode, seed: u64) -> Options {
    Options {
        mode,
        stacks: slackwater_collect::Stacks::Python,
        sample_mean: 512 << 10,
        seed,
        python_allocators: PythonAllocators::Foreign,
    }
}

/// Runs a command to its end while it is recorded.
fn record(options: &Options, command: Command) -> (Profile, Summary) {
    let (bytes, summary) = captured(options, command);
    let capture = Capture::from_reader(Path::new("test"), Cursor::new(bytes)).unwrap();
    let profile = Profile::of(capture, Window::default()).unwrap();
    assert_eq!(profile.gaps, []);
    (profile.value, summary)
}

/// The capture of a command that was run to its end.
fn captured(options: &Options, mut command: Command) -> (Vec<u8>, Summary) {
    let mut collector = Collector::begin(options, Vec::new()).unwrap();
    let mut child = command
        .env("LD_PRELOAD", agent_library().unwrap())
        .env("SLACKWATER_RECORD", collector.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    collector.awaits(child.id());
    loop {
        let exited = child.try_wait().unwrap();
        let turn = collector.turn().unwrap();
        if let Some(status) = exited {
            collector.tell(Ending::Exit(status.code().unwrap_or(255) as u32));
            assert!(status.success(), "{status}");
            break;
        }
        if turn.n_slots == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (summary, bytes) = collector.end().unwrap();
    (bytes, summary)
}

fn python(interpreter: &Interpreter, name: &str, source: &str) -> Command {
    Program::python(interpreter, name, source).unwrap().to_command()
}

/// What a function asked for by itself, in all its stacks: allocated and live.
fn of_function(profile: &Profile, function: &str) -> (Estimate, Estimate) {
    let mut sums = (Estimate::default(), Estimate::default());
    for (&stack, usage) in &profile.by_stack() {
        let innermost = profile.stacks.frames(stack).next();
        // Qualified names and comprehensions: `keep.<locals>.<listcomp>` is `keep` since 3.12.
        if innermost.is_some_and(|frame| {
            frame.function.split('.').next() == Some(function)
                || (frame.function == "<listcomp>" && caller(profile, stack) == Some(function))
        }) {
            sums.0.add(&usage.allocated);
            sums.1.add(&usage.live);
        }
    }
    sums
}

fn caller(profile: &Profile, stack: StackId) -> Option<&str> {
    profile.stacks.frames(stack).nth(1).map(|frame| frame.function.as_str())
}

fn plain() -> impl Iterator<Item = &'static Interpreter> {
    interpreters().iter().filter(|one| one.is_plain() && one.version().1 <= 13)
}

#[test]
fn fault_43_exact_recordings_have_every_block_of_every_stack() {
    for interpreter in plain() {
        let (profile, summary) = record(&options(Mode::Exact, 0), python(interpreter, "planted", &planted()));
        let who = interpreter.to_string();
        assert_eq!((summary.n_lost, summary.n_processes, summary.n_degraded), (0, 1, 0), "{who}");
        assert_eq!(summary.no_stacks, None, "{who}");
        let check = |function: &str, n: u64, size: u64, keeps: bool| {
            let (allocated, live) = of_function(&profile, function);
            let truth = (n * size) as f64;
            // Headers of objects, lists that grow, and what the interpreter needs for itself.
            assert!(
                (truth..truth * 1.05 + 50_000.0).contains(&allocated.bytes),
                "{who}: {function}: {allocated:?}"
            );
            assert!(allocated.count >= n as f64 && allocated.is_exact(), "{who}: {function}: {allocated:?}");
            let kept = if keeps { truth } else { 0.0 };
            assert!((kept..kept * 1.05 + 50_000.0).contains(&live.bytes), "{who}: {function}: live {live:?}");
        };
        // At its end the interpreter has given everything back.
        check("keep", 3000, 8000, false);
        check("drop", 5000, 3000, false);
        check("deep", 40, 100_000, false);
        let deepest = profile.by_stack().into_keys().map(|stack| profile.stacks.frames(stack).count()).max();
        assert!(deepest >= Some(22), "{who}: {deepest:?}");
        let line = profile.by_stack().into_keys().find_map(|stack| {
            let frame = profile.stacks.frames(stack).next()?;
            (frame.function.ends_with("deep")).then_some((frame.line, frame.file.clone()))
        });
        let (line, file) = line.unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.lines().nth(line as usize - 1).unwrap().contains("bytearray"), "{who}: {file}:{line}");
    }
}

#[test]
fn fault_43_what_is_kept_to_the_end_is_live() {
    let interpreter = plain().last().unwrap();
    let source = format!("{}\nimport os\nos._exit(0)\n", planted());
    let (profile, _) = record(&options(Mode::Exact, 0), python(interpreter, "kept", &source));
    let (_, keep) = of_function(&profile, "keep");
    assert!((24_000_000.0..25_300_000.0).contains(&keep.bytes), "{keep:?}");
    let (_, drop) = of_function(&profile, "drop");
    assert!(drop.bytes < 50_000.0, "{drop:?}");
    let (_, deep) = of_function(&profile, "deep");
    assert!((4_000_000.0..4_200_000.0).contains(&deep.bytes), "{deep:?}");
}

/// Seeded recordings: the promise is 93 of 100.
#[test]
fn fault_43_the_truth_is_inside_the_interval_of_samples() {
    let interpreter = plain().find(|one| one.version().1 == 11).or_else(|| plain().last()).unwrap();
    let source = format!("{}\nimport os\nos._exit(0)\n", planted());
    let (exact, _) = record(&options(Mode::Exact, 0), python(interpreter, "kept", &source));
    let functions = ["keep", "drop", "deep"];
    let truth = functions.map(|function| of_function(&exact, function));
    let mut n_inside = [[0_u64; 2]; 3];
    let mut n = 0;
    for round in rounds(40, 1000) {
        n += 1;
        let seed = round + 1;
        let (profile, summary) = record(&options(Mode::Sampled, seed), python(interpreter, "kept", &source));
        assert_eq!(summary.n_lost, 0);
        for (idx, function) in functions.iter().enumerate() {
            let (allocated, live) = of_function(&profile, function);
            let inside =
                |interval: Interval, truth: f64| u64::from(interval.low <= truth && truth <= interval.high);
            n_inside[idx][0] += inside(allocated.interval(), truth[idx].0.bytes);
            n_inside[idx][1] += inside(live.interval(), truth[idx].1.bytes);
        }
    }
    for (function, [allocated, live]) in functions.iter().zip(n_inside) {
        assert!(allocated * 100 >= n * 93, "{function}: {allocated} of {n} inside");
        if *function != "drop" {
            assert!(live * 100 >= n * 93, "{function}: {live} of {n} inside, live");
        }
    }
}
