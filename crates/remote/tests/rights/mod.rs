//! Giving up rights. They belong to threads, so a test gives them up in one and looks from there.
#![allow(dead_code, reason = "each test binary uses some of these")]

use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

const NOBODY: u32 = 65534;

/// Runs `look` in a thread of its own that has first done `give_up`.
pub(crate) fn after<T: Send>(give_up: impl FnOnce() + Send, look: impl FnOnce() -> T + Send) -> T {
    let run = || {
        give_up();
        look()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Runs `look` as nobody.
pub(crate) fn as_nobody<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    let give_up = || {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    };
    after(give_up, look)
}

/// Runs `look` without some capabilities: CAP_SYS_ADMIN, say, which shows frame numbers.
pub(crate) fn without<T: Send>(dropped: CapabilitySet, look: impl FnOnce() -> T + Send) -> T {
    let give_up = || {
        let held = rustix::thread::capabilities(None).unwrap();
        let sets = CapabilitySets { effective: held.effective - dropped, ..held };
        rustix::thread::set_capabilities(None, sets).unwrap();
    };
    after(give_up, look)
}

#[allow(unsafe_code, reason = "installing a filter is a system call with a pointer")]
pub(crate) mod seccomp {
    /// Makes `calls` fail with `errno` in this thread, for good.
    pub(crate) fn refuse(calls: &[libc::c_long], errno: i32) {
        const LOAD_WORD: u16 = 0x20;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        // The number of the call is the first word of `struct seccomp_data`.
        let mut steps = vec![step(LOAD_WORD, 0, 0, 0)];
        for call in calls {
            steps.push(step(JUMP_IF_EQUAL, 0, 1, *call as u32));
            steps.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32));
        }
        steps.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        rustix::thread::set_no_new_privs(true).unwrap();
        // SAFETY: `program` points to `steps`, `len` of them, and both live until the call returns;
        // the kernel copies the filter and checks it.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}
