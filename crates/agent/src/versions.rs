//! Old names for what libc moved, so that an agent built today loads under glibc since 2.17: glibc 2.34
//! gave the functions of libpthread and libdl a new version; the old one is still there.
//!
//! Invariant: x86-64 only, like the agent; the list is the same as in `build.rs`.
#![allow(unsafe_code)] // assembly

/// One jump per function.
macro_rules! old_versions {
    ($($function:literal)+) => {
        $(core::arch::global_asm!(
            concat!(".symver slackwater_old_", $function, ", ", $function, "@GLIBC_2.2.5"),
            concat!(".globl __wrap_", $function),
            concat!(".hidden __wrap_", $function),
            concat!(".type __wrap_", $function, ", @function"),
            concat!("__wrap_", $function, ":"),
            concat!("jmp slackwater_old_", $function, "@PLT"),
        );)+
    };
}

old_versions! {
    "dlsym"
    "pthread_getspecific"
}
