//! The file itself: what it exports, what it asks of others, where it loads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
        "valloc",
    ];
    assert_eq!(library().exports().unwrap(), expected);
}

/// Whatever a hook could reach outside is in this list: nothing in it locks or allocates but `dlsym`, which
/// only the constructor and the first allocation ask. `strlen` is for the environment.
#[test]
fn fault_16_no_lock_and_no_malloc_can_be_reached() {
    let expected = [
        "__errno_location",
        "abort",
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
