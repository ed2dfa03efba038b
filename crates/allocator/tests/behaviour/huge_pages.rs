//! Settings of the whole machine that made other allocators keep more: each is put back afterwards.

use std::path::Path;

use slackwater_testkit::Program;

use crate::preload::{output, python, under};

/// A file of the kernel's settings, as it was when dropped.
struct Changed<'a> {
    path: &'a Path,
    before: String,
}

impl<'a> Changed<'a> {
    /// None, and a reason on standard error, where it may not be changed.
    fn to(path: &'a str, value: &str) -> Option<Self> {
        let path = Path::new(path);
        let before = std::fs::read_to_string(path).ok()?;
        // `always [madvise] never`, or simply the value.
        let before = before.split(['[', ']']).nth(1).unwrap_or(before.trim()).to_owned();
        if let Err(error) = std::fs::write(path, value) {
            eprintln!("not tested: {} cannot be changed: {error}", path.display());
            return None;
        }
        Some(Self { path, before })
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        std::fs::write(self.path, &self.before).expect("what could be changed can be changed back");
    }
}

/// Kilobytes of huge pages in a heap of 64 MB, of which most was freed.
const HUGE: &str = r#"
blocks = [b"x" * 5_000 for _ in range(13_000)]
del blocks[::50]
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"#;

#[test]
fn fault_25_huge_pages_for_all_are_not_for_this_heap() {
    // Without pymalloc, whose arenas are not in this heap.
    let program = under(&Program::python(python(), "huge", HUGE).unwrap()).env("PYTHONMALLOC", "malloc");
    let Some(_always) = Changed::to("/sys/kernel/mm/transparent_hugepage/enabled", "always") else { return };
    let huge_kilobytes = |options: Option<&str>| -> u64 {
        let mut command = program.to_command();
        command.envs(options.map(|options| ("MALLOC_CONF", options)));
        let (text, diagnostics, _) = output(&mut command);
        text.trim().parse().unwrap_or_else(|_| panic!("{text}{diagnostics}"))
    };
    let control = huge_kilobytes(Some("thp:default"));
    if control < 30_000 {
        eprintln!("not tested: this machine has no huge pages to give: {control} kB");
        return;
    }
    // jemalloc's own books are mapped 2 MiB at a time, and no option keeps huge pages out of them.
    let huge = huge_kilobytes(None);
    assert!(huge <= 3 * 2048, "{huge} kB, {control} kB without the option");
}

#[test]
fn fault_25_huge_pages_for_all_are_not_for_pools() {
    const OBJECTS: &str = r#"
objects = [(number, str(number)) for number in range(600_000)]
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"#;
    let program = under(&Program::python(python(), "huge", OBJECTS).unwrap());
    let Some(_always) = Changed::to("/sys/kernel/mm/transparent_hugepage/enabled", "always") else { return };
    let (text, diagnostics, _) = output(program.to_command().env_remove("PYTHONMALLOC"));
    let huge: u64 = text.trim().parse().unwrap_or_else(|_| panic!("{text}{diagnostics}"));
    assert!(huge <= 3 * 2048, "{huge} kB");
}

#[test]
fn fault_25_strict_overcommit_is_bearable() {
    // Generous, so that nobody else on this machine notices.
    let Some(_ratio) = Changed::to("/proc/sys/vm/overcommit_ratio", "1000") else { return };
    let Some(_strict) = Changed::to("/proc/sys/vm/overcommit_memory", "2") else { return };
    let source = r#"
import threading
kept = []
def burst():
    kept.append([bytes(5_000) for _ in range(8_000)][::100])
threads = [threading.Thread(target=burst) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(map(len, kept)))
"#;
    let program = under(&Program::python(python(), "strict", source).unwrap());
    let (text, diagnostics, _) = output(&mut program.to_command());
    assert_eq!(text, "320\n", "{diagnostics}");
}
