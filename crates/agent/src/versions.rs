//! Old names for what libc moved, so that an agent built today loads under glibc since 2.17.
//!
//! Invariant: the list is the same as in `build.rs`.
#![allow(unsafe_code)] // assembly

slackwater_inside::old_versions! {
    "dlsym" "GLIBC_2.2.5"
    "pthread_getspecific" "GLIBC_2.2.5"
}
