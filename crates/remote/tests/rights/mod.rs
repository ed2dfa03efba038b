//! Giving up rights. They belong to threads, so a test gives them up in one and looks from there.
#![allow(dead_code, reason = "each test binary uses some of these")]

use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

const NOBODY: u32 = 65534;

/// Runs `look` in a thread of its own that has first done `give_up`.
pub fn after<T: Send>(give_up: impl FnOnce() + Send, look: impl FnOnce() -> T + Send) -> T {
    let run = || {
        give_up();
        look()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Runs `look` as nobody.
pub fn as_nobody<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    let give_up = || {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    };
    after(give_up, look)
}

/// Runs `look` without CAP_SYS_ADMIN, which shows frame numbers.
pub fn without_admin<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    let give_up = || {
        let held = rustix::thread::capabilities(None).unwrap();
        let left = held.effective - CapabilitySet::SYS_ADMIN;
        let sets = CapabilitySets { effective: left, ..held };
        rustix::thread::set_capabilities(None, sets).unwrap();
    };
    after(give_up, look)
}
