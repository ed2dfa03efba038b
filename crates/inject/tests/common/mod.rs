//! What the tests share: victims with progress counters, and looking at them from outside.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs::File;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use slackwater_inject::recipe::GLIBC_TRIM;
use slackwater_inject::{Call, InjectError, Options, Outcome, Target};
use slackwater_procfs::{Process, Root};
use slackwater_testkit::{Program, Target as Victim};

/// A C victim from `tests/victims`.
pub(crate) fn program(name: &str, source: &str) -> Program {
    Program::c_linked(name, source, Default::default(), &["-mavx"]).unwrap()
}

pub(crate) fn victim(name: &str, source: &str) -> Victim {
    program(name, source).spawn().unwrap()
}

pub(crate) fn process(victim: &Victim) -> Process {
    Root::host().process(victim.pid()).unwrap()
}

/// Patient: other tests may keep the processors busy.
pub(crate) fn patient() -> Options {
    Options { search: Duration::from_secs(10), ..Options::default() }
}

/// `malloc_trim(0)` in a process.
pub(crate) fn trim(process: &Process, options: &Options) -> Result<Outcome, InjectError> {
    let target = Target::open(process)?;
    let call = GLIBC_TRIM.resolve(&target)?.expect("the victim has glibc");
    target.call(&call, options)
}

pub(crate) fn trim_call(target: &Target<'_>) -> Call {
    GLIBC_TRIM.resolve(target).unwrap().expect("the victim has glibc")
}

/// The victim's memory, as its test sees it.
pub(crate) struct Peek(File);

impl Peek {
    pub(crate) fn at(victim: &Victim) -> Self {
        let path = format!("/proc/{}/mem", victim.pid());
        Self(File::options().read(true).write(true).open(path).unwrap())
    }

    pub(crate) fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn set_flag(&self, at: u64) {
        self.0.write_all_at(&1_u32.to_le_bytes(), at).unwrap();
    }

    pub(crate) fn clear_flag(&self, at: u64) {
        self.0.write_all_at(&0_u32.to_le_bytes(), at).unwrap();
    }

    pub(crate) fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.0.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }
}

/// Every executable byte of the process but the vdso, and where it lies.
pub(crate) fn text(process: &Process, peek: &Peek) -> Vec<(u64, Vec<u8>)> {
    let mappings = process.maps().unwrap();
    let executable = mappings.iter().filter(|mapping| mapping.access.execute && mapping.path().is_some());
    executable
        .map(|mapping| {
            (mapping.range.start.get(), peek.bytes(mapping.range.start.get(), mapping.range.len()))
        })
        .collect()
}

/// Waits until `done`; panics with `what` when it takes unreasonably long.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::yield_now();
    }
}

/// Waits until the victim's main thread is blocked in a system call.
pub(crate) fn until_blocked(process: &Process) {
    eventually("blocking", || {
        matches!(
            process.task_syscall(process.pid().main_thread()),
            Ok(slackwater_procfs::Syscall::Call { .. })
        )
    });
}

/// How a wait is ended from outside, if it does not end by itself.
enum Wake {
    Line,
    Connection,
    Time,
}

/// Enters `waits.c` in each of its waits: results, errno, signal mask and alternate stack are as if
/// nobody had been there.
pub(crate) fn check_waits(victim: &mut Victim) {
    let process = process(victim);
    let mut check = |how: &str, wake: Wake, expected: &str| {
        victim.send(how).unwrap();
        assert_eq!(victim.answer("the wait").unwrap(), "waiting");
        until_blocked(&process);
        let times = if matches!(wake, Wake::Time) { 2 } else { 10 };
        // Of a wait that is long enough, none of the entries may wait for the end.
        let options = Options { search: Duration::from_secs(1), ..patient() };
        let options = if how == "semaphore_by_clock" { options } else { patient() };
        for _ in 0..times {
            let outcome = trim(&process, &options).unwrap_or_else(|error| panic!("{how}: {error}"));
            assert!(outcome.finished, "{how}");
        }
        match wake {
            Wake::Line => victim.send("wake").unwrap(),
            Wake::Connection => {
                let name = format!("slackwater-waits-{}", process.pid());
                UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
            }
            Wake::Time => {}
        }
        // The result, errno, and whether the signal mask and the alternate stack are as they were.
        assert_eq!(victim.answer(how).unwrap(), expected, "{how}");
    };
    for how in [
        "poll",
        "poll_timeout",
        "ppoll_mask",
        "select",
        "select_timeout",
        "pselect_mask",
        "epoll",
        "epoll_timeout",
        "epoll_mask",
    ] {
        check(how, Wake::Line, "1 0 1 1");
    }
    check("accept", Wake::Connection, "1 0 1 1");
    for how in ["nanosleep", "sleep_until", "semaphore", "semaphore_by_clock", "condition", "sigtimedwait"] {
        check(how, Wake::Time, "0 0 1 1");
    }
}
