//! Old names for what libc moved: so that a library built today loads under glibc since 2.17.
//!
//! glibc 2.34 took the functions of libpthread and libdl into libc and gave them a new version; a library
//! linked against it asks for that version, and an older libc refuses to load it. The old version of each
//! is still there, and is the same function. Calls from jemalloc and from here (`--wrap`, see `build.rs`)
//! come to the jumps below, which name the old version.
//!
//! Invariant: x86-64 only, like the library; the list is the same as in `build.rs`.
#![allow(unsafe_code)] // assembly

/// One jump per function.
macro_rules! old_versions {
    ($($function:literal $version:literal)+) => {
        $(core::arch::global_asm!(
            concat!(".symver slackwater_old_", $function, ", ", $function, "@", $version),
            concat!(".globl __wrap_", $function),
            concat!(".hidden __wrap_", $function),
            concat!(".type __wrap_", $function, ", @function"),
            concat!("__wrap_", $function, ":"),
            concat!("jmp slackwater_old_", $function, "@PLT"),
        );)+
    };
}

old_versions! {
    "dlsym" "GLIBC_2.2.5"
    "pthread_attr_setstacksize" "GLIBC_2.2.5"
    "pthread_create" "GLIBC_2.2.5"
    "pthread_join" "GLIBC_2.2.5"
    "pthread_key_create" "GLIBC_2.2.5"
    "pthread_mutex_trylock" "GLIBC_2.2.5"
    "pthread_mutexattr_destroy" "GLIBC_2.2.5"
    "pthread_mutexattr_init" "GLIBC_2.2.5"
    "pthread_mutexattr_settype" "GLIBC_2.2.5"
    "pthread_setname_np" "GLIBC_2.12"
    "pthread_setspecific" "GLIBC_2.2.5"
    "pthread_sigmask" "GLIBC_2.2.5"
}
