//! How the library is linked. Nothing of jemalloc is changed: what it asks of libc is answered elsewhere.

/// Functions whose old version is asked for: see `src/versions.rs`.
const MOVED_BY_LIBC: &[&str] = &[
    "dlsym",
    "pthread_attr_setstacksize",
    "pthread_create",
    "pthread_join",
    "pthread_key_create",
    "pthread_mutex_trylock",
    "pthread_mutexattr_destroy",
    "pthread_mutexattr_init",
    "pthread_mutexattr_settype",
    "pthread_setname_np",
    "pthread_setspecific",
    "pthread_sigmask",
];

fn main() {
    // jemalloc asks `secure_getenv` for its options: `src/options.rs` answers.
    link("-Wl,--wrap=secure_getenv");
    for function in MOVED_BY_LIBC {
        link(&format!("-Wl,--wrap={function}"));
    }
    // It must be the process's malloc from the first instruction on, and until the last.
    link("-Wl,-z,nodlopen");
    link("-Wl,-z,nodelete");
    link("-Wl,-soname,libslackwater_alloc.so");
    // Without the standard library, nobody else asks for libc. Before glibc 2.34 threads and the loader's
    // functions were in libraries of their own; since then these two are empty.
    link("-lc");
    link("-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state");
    println!("cargo:rerun-if-changed=build.rs");
}

fn link(argument: &str) {
    println!("cargo:rustc-cdylib-link-arg={argument}");
}
