//! ELF files of live processes: where they are loaded, and where their symbols lie.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says where and why it cannot go on")]

use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;
use slackwater_base::{Addr, Pid, Range};
use slackwater_memory::{Bindings, Memory, MemoryExt, Symbols};
use slackwater_procfs::Root;
use slackwater_remote::{Live, Module};
use slackwater_testkit::{Linking, Program, Target};

mod rights;

const SOURCE: &str = r#"
#include "planted.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>

int planted_counter = 7;
char planted_space[100000];
__attribute__((noinline)) int planted_function(int x) { return x + planted_counter; }

int main(int argc, char **argv) {
    /* The file once more, as data and below everything else: not where it is loaded. */
    int itself = open("/proc/self/exe", O_RDONLY);
    mmap((void *)0x10000000, 1 << 12, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, itself, 0);
#ifdef STATIC
    void *trim = malloc_trim;
#else
    if (argc > 1 && dlopen(argv[1], RTLD_NOW) == NULL) return 4;
    void *trim = dlsym(RTLD_DEFAULT, "malloc_trim");
#endif
    ready("%p %p %p %p", &planted_counter, planted_space, planted_function, trim);
    serve();
    return planted_function(0) + planted_space[1];
}
"#;

fn open(target: &Target) -> Live {
    Live::open(&Root::host(), target.pid()).unwrap()
}

fn module(live: &Live, path: &Path) -> Module {
    live.modules().into_iter().find(|module| module.path == path).expect("a module of this path")
}

#[test]
fn symbols_lie_where_the_program_says() {
    for (name, linking, flags) in [
        ("dynamic", Linking::Dynamic, &[][..]),
        ("fixed", Linking::DynamicFixed, &[]),
        ("static", Linking::Static, &["-DSTATIC"]),
        ("static_pie", Linking::StaticPie, &["-DSTATIC"]),
    ] {
        let program = Program::c_linked(name, SOURCE, linking, flags).unwrap();
        let target = program.spawn().unwrap();
        let at = target.greeting_numbers();
        let live = open(&target);
        let executable = module(&live, program.executable());
        let symbol = |name| live.symbol(executable.file, name).unwrap();
        assert_eq!(symbol("planted_counter"), Range::sized(Addr(at[0]), 4), "{name}");
        assert_eq!(symbol("planted_space"), Range::sized(Addr(at[1]), 100_000), "{name}");
        assert_eq!(symbol("planted_function").start, Addr(at[2]), "{name}");
        assert_eq!(live.symbol(executable.file, "no_such_symbol"), None);
        let holds_libc = |module: &Module| module.symbol("malloc_trim").is_some();
        let libc = live.modules().into_iter().find(holds_libc).unwrap();
        assert_eq!(live.symbol(libc.file, "malloc_trim").unwrap().start, Addr(at[3]), "{name}");

        let bss = executable.section(".bss").unwrap();
        assert!(bss.contains(Addr(at[1])), "{name}");
        assert!(executable.segments().any(|(range, writable)| writable && range.contains(Addr(at[1]))));
        assert!(executable.section(".text").unwrap().contains(Addr(at[2])));
        let (text, bytes) = executable.contents(".text").unwrap().unwrap();
        let mut live_bytes = vec![0; bytes.len()];
        live.read(Addr(text.address.wrapping_add(executable.bias)), &mut live_bytes).unwrap();
        assert_eq!(live_bytes, bytes, "the code in memory is the code in the file");
        assert_eq!(live.file_bytes(executable.file).unwrap(), std::fs::read(program.executable()).unwrap());
    }
}

/// A copy of a library that can be deleted and replaced.
fn copy_of_library(directory: &Path) -> PathBuf {
    let copy = directory.join("libcopy.so");
    std::fs::copy("/lib/x86_64-linux-gnu/libm.so.6", &copy).unwrap();
    copy
}

#[test]
fn a_deleted_library_is_read_through_its_mapping_and_never_confused_with_its_successor() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let library = copy_of_library(directory.path());
    let target = Program::c("dynamic", SOURCE).unwrap().arg(&library).spawn().unwrap();
    let symbol_of = |live: &Live| {
        let file = live.mappings().iter().find(|mapping| mapping.path() == Some(&library)).unwrap().file();
        live.symbol(file.unwrap(), "cbrt")
    };
    // By name, as those see it who may not follow mappings to their files.
    let by_name = |pid: Pid| {
        rights::without(CapabilitySet::SYS_ADMIN | CapabilitySet::CHECKPOINT_RESTORE, || {
            symbol_of(&Live::open(&Root::host(), pid).unwrap())
        })
    };
    let there = symbol_of(&open(&target)).expect("a cube root");
    assert_eq!(by_name(target.pid()), Some(there));

    std::fs::remove_file(&library).unwrap();
    assert_eq!(symbol_of(&open(&target)), Some(there));
    assert_eq!(by_name(target.pid()), None);

    copy_of_library(directory.path());
    assert_eq!(symbol_of(&open(&target)), Some(there));
    assert_eq!(by_name(target.pid()), None, "a file of this name, but not the one that is mapped");
}

#[test]
fn every_interpreter_has_its_runtime_where_symbols_say() {
    for interpreter in slackwater_testkit::interpreters() {
        let program = Program::python(interpreter, "idle", "ready()\nserve()\n").unwrap();
        let target = program.spawn().unwrap();
        let live = open(&target);
        let found: Vec<Range> =
            live.modules().iter().filter_map(|module| live.symbol(module.file, "_PyRuntime")).collect();
        assert_eq!(found.len(), 1, "{:?}", interpreter.path());
        let mut bytes = vec![0; found[0].len() as usize];
        live.read(found[0].start, &mut bytes).unwrap();
        assert!(bytes.iter().any(|byte| *byte != 0), "{:?}", interpreter.path());
    }
}

#[test]
fn fault_09_libraries_of_another_root_are_found_by_name_below_it() {
    for root in slackwater_testkit::glibc_roots() {
        let source = "#include \"planted.h\"\nint main(void) { ready(\"%p\", malloc_trim); serve(); }";
        let target = Program::c_within(root, "elsewhere", source).unwrap().spawn().unwrap();
        let expected = Addr(target.greeting_numbers()[0]);
        let pid = target.pid();
        let dropped = CapabilitySet::SYS_ADMIN | CapabilitySet::CHECKPOINT_RESTORE;
        let found = rights::without(dropped, || {
            let live = Live::open(&Root::host(), pid).unwrap();
            live.modules().iter().find_map(|module| module.symbol("malloc_trim")).map(|found| found.start)
        });
        assert_eq!(found, Some(expected), "glibc {:?}", root.glibc());
    }
}

/// Calls `malloc`, keeps a pointer to `free` in its data, and says where `getenv` of the C library is.
const IMPORTS: &str = r#"
#include "planted.h"
void (*volatile kept)(void *) = free;
int main(void) {
    kept(malloc(10));
    ready("%p %p %p", dlsym(RTLD_NEXT, "malloc"), dlsym(RTLD_NEXT, "free"), (void *)&kept);
    serve();
}
"#;

#[test]
fn imported_functions_are_kept_where_the_loader_put_them() {
    let source = format!("#define _GNU_SOURCE\n#include <dlfcn.h>\n{IMPORTS}");
    // Bound at once, bound at the first call, and at a fixed address with stubs of its own.
    for (name, linking, flag) in [
        ("bound_now", Linking::Dynamic, "-Wl,-z,now"),
        ("bound_late", Linking::Dynamic, "-Wl,-z,lazy"),
        ("bound_fixed", Linking::DynamicFixed, "-Wl,-z,lazy"),
    ] {
        let program = Program::c_linked(name, &source, linking, &[flag]).unwrap();
        let target = program.spawn().unwrap();
        let [malloc, free, kept] = target.greeting_numbers()[..] else { panic!("three addresses") };
        let live = open(&target);
        let executable = module(&live, program.executable());
        let slots = live.slots(executable.file, &["free", "no_such_function", "malloc"]);
        let held = |name: usize| {
            let slots = slots.iter().filter(move |slot| slot.0 == name);
            slots.map(|slot| live.read_u64(slot.1).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(held(2), [malloc], "{name}: {slots:?}");
        assert!(held(0).contains(&free), "{name}: {slots:?}");
        assert!(held(1).is_empty(), "{name}: {slots:?}");
        assert!(slots.contains(&(0, Addr(kept))), "{name}: {slots:?}");

        let libc = live.modules().into_iter().find(|module| module.symbol("malloc_trim").is_some()).unwrap();
        assert_eq!(live.offered(libc.file, "malloc").unwrap().start, Addr(malloc));
        // Linked against, not offered.
        assert_eq!(live.offered(executable.file, "malloc"), None, "{name}");
        assert_eq!(live.offered(executable.file, "main"), None, "{name}");
        assert!(live.symbol(executable.file, "main").is_some(), "{name}");
    }
}
