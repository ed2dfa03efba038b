//! Memory limits: of control groups, of address space, of the kernel's promises.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slackwater_testkit::Program;

use crate::preload::{MIB, output, python, under};

/// A control group with a memory limit, gone when dropped.
struct Group(PathBuf);

impl Group {
    /// None where this machine does not let us make one.
    fn new(name: &str, limit_bytes: u64) -> Option<Self> {
        let name = format!("slackwater-{name}-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory").join(&name);
        let (folder, limit) = if first.parent().unwrap().exists() {
            (first, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup").join(&name), "memory.max")
        };
        let made = std::fs::create_dir(&folder)
            .and_then(|()| std::fs::write(folder.join(limit), limit_bytes.to_string()));
        if let Err(error) = made {
            eprintln!("not tested: no control group with a limit here: {error}");
            let _ = std::fs::remove_dir(&folder);
            return None;
        }
        Some(Self(folder))
    }

    /// The program, started inside.
    fn inside(&self, program: &Program) -> Command {
        let inner = program.to_command();
        let mut outer = Command::new("/bin/sh");
        outer.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&self.0);
        outer.arg("env");
        for (name, _) in inner.get_envs().filter(|(_, value)| value.is_none()) {
            outer.arg("-u").arg(name);
        }
        for (name, value) in inner.get_envs() {
            let Some(value) = value else { continue };
            let mut pair = name.to_owned();
            pair.push("=");
            pair.push(value);
            outer.arg(pair);
        }
        outer.arg(inner.get_program()).args(inner.get_args());
        outer
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Eight threads, one after the other, allocate 24 MB and free all but a hundredth: requests that never
/// overlap. It holds 26 MB at most; who keeps an arena per thread keeps 190.
const IN_TURNS: &str = r#"
import threading
turn, all_there, kept = threading.Lock(), threading.Barrier(8), []
def serve():
    # Every thread has its arena before the first one works.
    first = bytes(1000)
    all_there.wait()
    for round in range(3):
        with turn:
            blocks = [bytes(1500 + index % 1000) for index in range(12_000)]
            if round == 0: kept.append(blocks[::100])
            del blocks
        all_there.wait()
threads = [threading.Thread(target=serve) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"#;

#[test]
fn a_service_that_the_kernel_kills_under_glibc_lives_under_ours() {
    let Some(group) = Group::new("burst", 64 * MIB) else { return };
    let service = Program::python(python(), "in_turns", IN_TURNS).unwrap();
    let run = |program: &Program| {
        group.inside(program).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap()
    };
    let glibc = run(&service);
    assert_eq!(glibc.signal(), Some(libc::SIGKILL), "the control: {glibc}");
    let ours = run(&under(&service));
    assert_eq!(ours.code(), Some(0), "{ours}");
}

#[test]
fn near_its_limit_a_process_is_governed_leaner_and_afterwards_as_before() {
    let Some(group) = Group::new("near", 96 * MIB) else { return };
    let source = r#"
import ctypes, sys, time
block = ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(None), "slackwater_block"))
STATES = ["off", "dormant", "busy", "idle", "pressed"]
state = lambda: STATES[ctypes.c_uint32.from_address(block + 1176).value]
limit = lambda: ctypes.c_uint64.from_address(block + 1208).value
def becomes(wanted, seconds):
    end = time.monotonic() + seconds
    while (state() == "pressed") != wanted:
        if time.monotonic() > end: sys.exit(f"{state()} for {seconds} s")
        sum(range(20_000))
used = lambda: int(open(sys.argv[1]).read())
kept = []
assert state() != "pressed"
while used() < 89 << 20:
    kept.append(b"x" * (64 << 10))
becomes(True, 3)
assert limit() == 96 << 20, limit()
del kept[:]
becomes(False, 12)
print("pressed, then not")
"#;
    let usage = ["memory.usage_in_bytes", "memory.current"].map(|name| group.0.join(name));
    let usage = usage.iter().find(|path| path.exists()).unwrap();
    let program = under(&Program::python(python(), "near_limit", source).unwrap()).arg(usage);
    let (text, diagnostics, code) = output(&mut group.inside(&program));
    assert_eq!((text.as_str(), code), ("pressed, then not\n", Some(0)), "{diagnostics}");
}

#[test]
fn fault_25_a_limit_on_address_space_is_met_by_an_error_not_by_a_crash() {
    let source = r#"
blocks = []
try:
    while True: blocks.append(bytes(1 << 20))
except MemoryError:
    held = len(blocks)
    del blocks
    again = [bytes(1 << 20) for _ in range(held // 2)]
    print(held >= 300, len(again) > 100)
"#;
    let inner = under(&Program::python(python(), "address_space", source).unwrap()).to_command();
    let mut command = Command::new("prlimit");
    command.arg(format!("--as={}", 800 * MIB)).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (text, diagnostics, _) = output(&mut command);
    assert_eq!(text, "True True\n", "{diagnostics}");
}

#[test]
fn fault_25_a_heap_full_of_holes_takes_few_mappings() {
    let source = r#"
import ctypes
blocks = [bytes(5_000) for _ in range(40_000)]
del blocks[::2]
print(ctypes.CDLL(None).malloc_trim(0), len(open("/proc/self/maps").readlines()))
"#;
    let program = under(&Program::python(python(), "holes", source).unwrap());
    let (text, diagnostics, _) = output(&mut program.to_command());
    let (trimmed, n_maps) = text.trim().split_once(' ').unwrap_or_else(|| panic!("{text}{diagnostics}"));
    assert_eq!(trimmed, "1");
    assert!(n_maps.parse::<u32>().unwrap() < 300, "{n_maps} of the 65,530 that a process may have");
}
