//! How the library is linked. Nothing of jemalloc is changed: what it asks of libc is answered elsewhere.

fn main() {
    for argument in [
        // jemalloc asks `secure_getenv` for its options: `options.rs` answers.
        "-Wl,--wrap=secure_getenv",
        // It must be the process's malloc from the first instruction on, and until the last.
        "-Wl,-z,nodlopen",
        "-Wl,-z,nodelete",
        "-Wl,-soname,libslackwater_alloc.so",
        // Without the standard library, nobody else asks for it.
        "-lc",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
