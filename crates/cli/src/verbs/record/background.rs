//! Work that nobody waits for, and that a service shall not feel.

/// As nice(1) does when nothing else is said.
const NICE: i32 = 10;

/// The calling thread gives way to all others from now on, and so do threads that it starts: on Linux each has
/// a value of its own (sched(7)).
pub(super) fn give_way() {
    let _ = rustix::process::nice(NICE);
}
