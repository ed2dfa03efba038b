//! The file itself: what it exports, what it asks of others, where it loads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use slackwater_testkit::SharedObject;

fn library() -> SharedObject {
    SharedObject::new(slackwater_testkit::agent_library().unwrap())
}

#[test]
fn it_stands_in_front_of_the_malloc_and_mmap_families_and_of_nothing_else() {
    let expected = [
        "aligned_alloc",
        "calloc",
        "cfree",
        "free",
        "free_aligned_sized",
        "free_sized",
        "malloc",
        "memalign",
        "mmap",
        "mmap64",
        "mremap",
        "munmap",
        "posix_memalign",
        "pvalloc",
        "realloc",
        "reallocarray",
        "slackwater_agent_attach",
        "slackwater_agent_detach",
        "slackwater_agent_report",
        "valloc",
    ];
    assert_eq!(library().exports().unwrap(), expected);
}

/// Whatever a hook could reach outside is in this list: nothing in it locks or allocates but `dlsym`, which
/// only the constructor, the first allocation and the tool that attaches ask: the latter also for the
/// loader's own lock, which the hook of `dlopen` takes where `dlopen` has just taken it. `strlen` is for the
/// environment, `bcmp` for names of slots.
#[test]
fn fault_16_no_lock_and_no_malloc_can_be_reached() {
    let expected = [
        "__errno_location",
        "bcmp",
        "clock_gettime",
        "dlsym",
        "memcpy",
        "memset",
        "pthread_getspecific",
        "secure_getenv",
        "strlen",
        "syscall",
    ];
    assert_eq!(library().imports().unwrap(), expected);
}

/// The compiler leaves out what nothing can reach: of the machinery of panics nothing is left, so no check
/// that could fail is either, in a hook or elsewhere.
#[test]
fn fault_21_no_panic_can_be_reached() {
    let library = library();
    let symbols = library.told_by("nm", &["--demangle"]).unwrap();
    assert!(symbols.contains("slackwater_agent::recorder::"), "the names of functions are not there");
    let machinery = ["panic", "begin_unwind", "unwrap_failed", "expect_failed", "index_fail", "slice_error"];
    let found: Vec<_> =
        symbols.lines().filter(|line| machinery.iter().any(|part| line.contains(part))).collect();
    assert_eq!(found, [""; 0]);
    let code = library.told_by("objdump", &["-d", "--no-show-raw-insn"]).unwrap();
    assert!(!code.contains("\tud2"), "it can end the process by an invalid instruction");
}

/// All that the agent knows of Python by name: what it looks up must be one of these. Only `Py_GetVersion` and
/// `PyMem_GetAllocator` are called, by the constructor and by the tool that attaches; the rest is data, code
/// that is read, or the mark of a build.
#[test]
fn fault_22_no_function_of_python_can_be_called_by_a_hook() {
    let expected = [
        "PyCode_Type",
        "PyGILState_GetThisThreadState",
        "PyMem_GetAllocator",
        "Py_DEBUG",
        "Py_GetVersion",
        "Py_MergeZeroLocalRefcount",
        "Py_NegativeRefcount",
        "PyRuntime",
        "Py_Version",
    ];
    let bytes = std::fs::read(slackwater_testkit::agent_library().unwrap()).unwrap();
    let names: BTreeSet<String> = bytes
        .windows(3)
        .enumerate()
        .filter(|(_, start)| start.starts_with(b"Py") && (start[2] == b'_' || start[2].is_ascii_uppercase()))
        .map(|(at, _)| {
            let name = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
            name.map(|&byte| char::from(byte)).collect()
        })
        .collect();
    // A literal may be followed by another one.
    let known = names.iter().filter(|name| expected.iter().any(|expected| name.starts_with(expected)));
    assert_eq!(known.collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert!(expected.iter().all(|&expected| names.contains(expected)), "{names:?}");
}

/// Loaded late, it must not take the program's malloc for its own hook.
#[test]
fn no_hook_is_looked_up_by_its_name() {
    let relocations = library().told_by("readelf", &["--relocs", "--wide"]).unwrap();
    assert!(relocations.contains("dlsym@"), "{relocations}");
    for name in library().exports().unwrap().iter().filter(|name| !name.ends_with("_report")) {
        assert!(!relocations.contains(&format!(" {name} ")), "{name} in {relocations}");
    }
}

#[test]
fn fault_11_it_loads_under_glibc_since_2_17_and_needs_nothing_else() {
    let library = library();
    assert_eq!(library.needs().unwrap(), ["libc.so.6", "libpthread.so.0", "libdl.so.2"]);
    assert_eq!(library.glibc_minor_min().unwrap(), Some(17));
}

/// What a thread keeps is static thread-local storage, of which the loader has little to spare.
#[test]
fn fault_12_a_thread_takes_at_most_64_bytes() {
    let headers = library().told_by("readelf", &["--program-headers", "--wide"]).unwrap();
    let line = headers.lines().find(|line| line.trim_start().starts_with("TLS")).unwrap();
    let size = line.split_whitespace().nth(5).unwrap().trim_start_matches("0x");
    assert!(u64::from_str_radix(size, 16).unwrap() <= 64, "{line}");
}
