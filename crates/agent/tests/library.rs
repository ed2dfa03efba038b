//! The file itself: what it exports, what it asks of others, where it loads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn told_by(tool: &str, options: &[&str]) -> String {
    let library = slackwater_testkit::agent_library().unwrap();
    let output = Command::new(tool).args(options).arg(library).output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The last word of each line, without its version, sorted.
fn names(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().last()?.split('@').next())
        .filter(|name| !name.starts_with("_ITM_") && !["__gmon_start__", "__cxa_finalize"].contains(name))
        .collect();
    names.sort_unstable();
    names
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
    assert_eq!(names(&told_by("nm", &["-D", "--defined-only"])), expected);
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
    assert_eq!(names(&told_by("nm", &["-D", "--undefined-only"])), expected);
}

#[test]
fn fault_11_it_loads_under_glibc_since_2_17_and_needs_nothing_else() {
    let dynamic = told_by("readelf", &["--dynamic", "-W"]);
    let needed: Vec<_> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert_eq!(needed, ["libc.so.6", "libpthread.so.0", "libdl.so.2"]);
    let versions = told_by("readelf", &["--version-info", "-W"]);
    let minors = versions.split("GLIBC_2.").skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    assert_eq!(minors.max(), Some(17));
}

/// What a thread keeps is static thread-local storage, of which the loader has little to spare.
#[test]
fn fault_12_a_thread_takes_at_most_64_bytes() {
    let headers = told_by("readelf", &["--program-headers", "-W"]);
    let line = headers.lines().find(|line| line.trim_start().starts_with("TLS")).unwrap();
    let size = line.split_whitespace().nth(5).unwrap().trim_start_matches("0x");
    assert!(u64::from_str_radix(size, 16).unwrap() <= 64, "{line}");
}
