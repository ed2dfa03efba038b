//! How such a library is linked.

/// Old names for what libc moved: so that a library built today loads under glibc since 2.17.
///
/// glibc 2.34 took the functions of libpthread and libdl into libc and gave them a new version; a library
/// linked against it asks for that version, and an older libc refuses to load it. The old version of each
/// is still there, and is the same function. Calls from the whole library (the linker's `--wrap`, asked for
/// in its `build.rs`) come to the jumps that this makes, which name the old version. x86-64 only.
#[macro_export]
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

/// Has the loader call a function once it has mapped the library.
#[macro_export]
macro_rules! constructor {
    ($function:ident) => {
        #[cfg(not(test))]
        #[used]
        #[unsafe(link_section = ".init_array")]
        static CONSTRUCTOR: extern "C" fn() = $function;
    };
}
