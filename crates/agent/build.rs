//! How the agent is linked: see `src/versions.rs`.

/// Functions whose old version is asked for.
const MOVED_BY_LIBC: &[&str] = &["dlsym", "pthread_getspecific"];

fn main() {
    for function in MOVED_BY_LIBC {
        link(&format!("-Wl,--wrap={function}"));
    }
    // Hooks may be on the stack of any thread at any time.
    link("-Wl,-z,nodelete");
    // A hook that calls another one, or tells its address, means its own: whatever the program calls malloc.
    link("-Wl,-Bsymbolic-functions");
    link("-Wl,-soname,libslackwater_agent.so");
    link("-lc");
    link("-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state");
    println!("cargo:rerun-if-changed=build.rs");
}

fn link(argument: &str) {
    println!("cargo:rustc-cdylib-link-arg={argument}");
}
