//! Python's small objects in our pools: in which interpreters, and that they bear what Python does.

use slackwater_testkit::{Interpreter, Program, interpreters};

use crate::preload::{output, under};

/// Says whether a small object lies in the pools: below addresses that are reserved by the gigabyte.
const WHERE: &str = r#"
def is_ours():
    at = id(object())
    maps = [line.split()[:2] for line in open("/proc/self/maps")]
    edge = 0
    for span, access in maps:
        start, end = (int(address, 16) for address in span.split("-"))
        if start <= at < end or start == edge and access == "rw-p":
            edge = end
        elif start == edge and access == "---p":
            return end - start > 8 << 30
"#;

/// Interpreters with a GIL.
fn with_pools() -> impl Iterator<Item = &'static Interpreter> {
    interpreters().iter().filter(|one| one.is_plain())
}

fn run(python: &Interpreter, source: &str, variables: &[(&str, &str)]) -> String {
    let program = under(&Program::python(python, "objects", &format!("{WHERE}{source}")).unwrap());
    let mut command = program.to_command();
    command.env_remove("PYTHONMALLOC").envs(variables.iter().copied());
    let (text, diagnostics, code) = output(&mut command);
    assert_eq!(code, Some(0), "{}: {text}{diagnostics}", python.path().display());
    text.trim().to_owned()
}

#[test]
fn every_interpreter_with_a_gil_gets_them() {
    for python in with_pools() {
        assert_eq!(run(python, "print(is_ours())", &[]), "True", "{}", python.path().display());
    }
}

#[test]
fn who_chooses_an_allocator_gets_that_one() {
    for python in with_pools() {
        for choice in ["malloc", "pymalloc", "debug"] {
            let said = run(python, "print(is_ours())", &[("PYTHONMALLOC", choice)]);
            assert_ne!(said, "True", "{choice}, {}", python.path().display());
        }
    }
}

#[test]
fn others_are_left_alone() {
    for python in interpreters().iter().filter(|one| one.root().is_none() && !one.is_plain()) {
        assert_ne!(run(python, "print(is_ours())", &[]), "True", "{}", python.path().display());
    }
}

#[test]
fn without_a_governor_a_few_lie_unused_and_a_trim_gives_those_back() {
    const SOURCE: &str = r#"
import ctypes, gc
def rss():
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Rss:"))
before = rss()
objects = [(index, str(index)) for index in range(1_000_000)]
full = rss()
del objects
gc.collect()
after = rss()
ctypes.CDLL(None).malloc_trim(0)
print(full - before, after - before, rss() - before)
"#;
    let python = with_pools().next().unwrap();
    let said = run(python, SOURCE, &[("SLACKWATER_GOVERNOR", "off")]);
    let kilobytes: Vec<i64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
    let &[full, after, trimmed] = kilobytes.as_slice() else { panic!("{said}") };
    assert!(full > 120_000, "{said}");
    assert!((4_000..60_000).contains(&after), "{said}");
    assert!(trimmed < 4_000, "{said}");
}

#[test]
fn survivors_do_not_pin_what_was_freed_around_them() {
    const SOURCE: &str = r#"
import gc, time
objects = [(index, str(index), [index]) for index in range(200_000)]
kept = objects[::1000]
del objects
gc.collect()
time.sleep(1.5)
print(is_ours(), sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Rss")))
"#;
    for python in with_pools() {
        let said = run(python, SOURCE, &[]);
        let kilobytes: u64 = said.strip_prefix("True ").unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        assert!(kilobytes < 35_000, "{kilobytes} KB, {}", python.path().display());
    }
}

#[test]
fn interpreters_with_a_gil_each_allocate_at_the_same_time() {
    const SOURCE: &str = r#"
import sys, threading
if sys.version_info < (3, 12):
    print("ours True"); sys.exit()
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
work = '''
for turn in range(60):
    rows = [{"n": n, "s": str(n) * 3, "t": (n, [n])} for n in range(2000)]
    assert all(row["s"] == str(row["n"]) * 3 and row["t"][1][0] == row["n"] for row in rows)
'''
failed = []
def beside():
    one = interpreters.create()
    try:
        said = interpreters.run_string(one, work)
        if said: failed.append(said)
    except Exception as error:
        failed.append(error)
    interpreters.destroy(one)
threads = [threading.Thread(target=beside) for _ in range(4)]
for thread in threads: thread.start()
exec(work)
for thread in threads: thread.join()
print("ours", is_ours(), *failed)
"#;
    for python in with_pools() {
        assert_eq!(run(python, SOURCE, &[]), "ours True", "{}", python.path().display());
    }
}

#[test]
fn fault_18_children_forked_under_threads_go_on_in_them() {
    const SOURCE: &str = r#"
import os, threading
done = threading.Event()
def churn():
    while not done.is_set():
        [{"n": n, "s": str(n)} for n in range(500)]
threads = [threading.Thread(target=churn, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
well = 0
for turn in range(20):
    child = os.fork()
    if child == 0:
        rows = [{"n": n, "s": str(n)} for n in range(5000)]
        os._exit(0 if is_ours() and all(row["s"] == str(row["n"]) for row in rows) else 1)
    well += os.waitpid(child, 0)[1] == 0
done.set()
for thread in threads: thread.join()
print(well)
"#;
    for python in with_pools() {
        assert_eq!(run(python, SOURCE, &[]), "20", "{}", python.path().display());
    }
}

#[test]
fn blocks_are_aligned_and_keep_what_is_in_them_whatever_their_size_becomes() {
    const SOURCE: &str = r#"
import ctypes
api = ctypes.pythonapi
for name in ("PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "PyMem_Malloc"):
    getattr(api, name).restype = ctypes.c_void_p
allocate = lambda size: api.PyObject_Malloc(ctypes.c_size_t(size))
resize = lambda block, size: api.PyObject_Realloc(ctypes.c_void_p(block), ctypes.c_size_t(size))
free = lambda block: api.PyObject_Free(ctypes.c_void_p(block))
assert allocate(0) and allocate(0) != allocate(0) and api.PyMem_Malloc(ctypes.c_size_t(0))
sizes = [1, 15, 16, 17, 300, 511, 512, 513, 5000, 40, 512, 100_000, 1, 384, 383, 0]
for first in sizes:
    block, size = allocate(first), first
    ctypes.memset(block, 7, size)
    for then in sizes:
        assert block % 16 == 0 or size <= 8, (first, size)
        block = resize(block, then)
        kept = ctypes.string_at(block, min(size, then))
        assert kept == b"\7" * len(kept), (first, size, then)
        ctypes.memset(block, 7, then)
        size = then
    free(block)
    zeroed = api.PyObject_Calloc(ctypes.c_size_t(first), ctypes.c_size_t(3))
    assert ctypes.string_at(zeroed, first * 3) == bytes(first * 3)
    free(zeroed)
free(None)
assert not api.PyObject_Calloc(ctypes.c_size_t(1 << 40), ctypes.c_size_t(1 << 40))
print(is_ours())
"#;
    for python in with_pools() {
        assert_eq!(run(python, SOURCE, &[]), "True", "{}", python.path().display());
    }
}

#[test]
fn tracemalloc_comes_and_goes_and_memory_that_ends_is_an_error() {
    const SOURCE: &str = r#"
import resource, tracemalloc
before = [str(number) for number in range(50_000)]
for turn in range(3):
    tracemalloc.start()
    during = [str(number) for number in range(50_000)]
    assert tracemalloc.get_traced_memory()[0] > 1_000_000
    del before
    tracemalloc.stop()
    before = during
    del during
size = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + (8 << 20), -1))
held = []
try:
    while True: held.append((len(held), str(len(held))))
except MemoryError:
    n_held = len(held)
    del held
print(is_ours(), n_held > 1000)
"#;
    for python in with_pools() {
        assert_eq!(run(python, SOURCE, &[]), "True True", "{}", python.path().display());
    }
}
