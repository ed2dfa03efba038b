//! Old names for what libc moved, so that a library built today loads under glibc since 2.17. jemalloc's
//! calls are answered here too.
//!
//! Invariant: the list is the same as in `build.rs`.
#![allow(unsafe_code)] // assembly

slackwater_inside::old_versions! {
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
