//! What is left to those who stay on glibc has the effect that is claimed.

use std::process::Command;

use slackwater_tune::Allocator;
use slackwater_tune::recipes::Place;

use crate::{files, folder, request, text, well, write};

/// Frees one block of 30 MiB, which raises glibc's thresholds for good, then 48 MiB in a thread.
const RAISES: &str = "
import ctypes, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def fill(size, count):
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(count)]
    for block in blocks: ctypes.memset(block, 1, size)
    for block in blocks: libc.free(block)
fill(30 << 20, 1)
thread = threading.Thread(target=fill, args=(1 << 20, 48))
thread.start(); thread.join()
print([int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmRSS')][0] // 1024)
";

fn mebibytes_after(start: &str, variables: &[(&str, &str)]) -> u64 {
    let folder = folder();
    std::fs::write(folder.path().join("start.sh"), start).unwrap();
    let mut command = Command::new("sh");
    command.arg(folder.path().join("start.sh")).args(["python3", "-c", RAISES]);
    for name in ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"] {
        command.env_remove(name);
    }
    well(&command.envs(variables.iter().copied()).output().unwrap()).trim().parse().unwrap()
}

#[test]
fn blocks_that_are_freed_go_back_with_the_advice_and_not_without() {
    let recipe = files(&request(Place::Shell, Allocator::Glibc));
    let start = text(&recipe, "start.sh");
    let plain = mebibytes_after("exec \"$@\"\n", &[]);
    assert!(plain > 48, "glibc gave back by itself: {plain} MiB");
    let advised = mebibytes_after(start, &[]);
    assert!(advised + 40 < plain, "{advised} MiB with, {plain} MiB without");

    // The other spelling, as the comment has it, does the same.
    let tunables = start.lines().find_map(|line| line.strip_prefix("#     GLIBC_TUNABLES=")).unwrap();
    let spelt = mebibytes_after("exec \"$@\"\n", &[("GLIBC_TUNABLES", tunables)]);
    assert!(spelt + 40 < plain, "{spelt} MiB with, {plain} MiB without");
}

#[test]
fn every_start_script_is_one_that_sh_takes_and_that_becomes_the_command() {
    let folder = folder();
    for &allocator in Allocator::ALL {
        write(&folder, &files(&request(Place::Shell, allocator)));
        let script = folder.path().join("start.sh");
        well(&Command::new("sh").arg("-n").arg(&script).output().unwrap());
        // Of what is preloaded, the loader complains where it is not installed: that is not what is asked.
        let output = Command::new("sh").arg(&script).args(["sh", "-c", "echo $$"]).output().unwrap();
        let said: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        assert!(said > 1, "{allocator}");
    }
}
