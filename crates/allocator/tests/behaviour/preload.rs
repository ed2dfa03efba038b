//! Starting programs under the library, and watching their memory.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use slackwater_base::Pid;
use slackwater_testkit::{Interpreter, Program, interpreters};

pub(crate) const MIB: u64 = 1 << 20;

/// The library under test.
pub(crate) fn library() -> PathBuf {
    slackwater_testkit::allocator_library().unwrap()
}

/// The program, with the library as its malloc.
pub(crate) fn under(program: &Program) -> Program {
    program.clone().env("LD_PRELOAD", library())
}

/// A program of `tests/programs`.
macro_rules! program {
    ($name:literal) => {
        slackwater_testkit::Program::c($name, include_str!(concat!("../programs/", $name, ".c"))).unwrap()
    };
}
pub(crate) use program;

/// Runs it to its end. What it wrote must be text.
pub(crate) fn output(command: &mut Command) -> (String, String, Option<i32>) {
    let Output { stdout, stderr, status } = command.output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

/// Debian's own interpreter, which every machine with the tests has.
pub(crate) fn python() -> &'static Interpreter {
    let plain = || interpreters().iter().filter(|one| one.is_plain());
    plain().find(|one| one.path().starts_with("/usr/bin")).or_else(|| plain().next()).expect("a Python")
}

/// Bytes that the process has resident.
pub(crate) fn resident_bytes(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kilobytes = |field: &str| {
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    kilobytes("Rss:") * 1024
}

/// Waits until `pid` has less than `bytes` resident; the last figure if that does not happen in time.
pub(crate) fn falls_below(pid: Pid, bytes: u64, within: Duration) -> Result<(), u64> {
    let end = Instant::now() + within;
    loop {
        let resident = resident_bytes(pid);
        if resident < bytes {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(resident);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Names of the process's threads.
pub(crate) fn thread_names(pid: Pid) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Whether the process has our governor.
pub(crate) fn is_governed(pid: Pid) -> bool {
    thread_names(pid).iter().any(|name| name == "slackwater")
}
