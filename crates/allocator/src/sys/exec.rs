//! The environment, and the functions that start programs.

use super::set_errno;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// The environment as libc's own functions pass it on.
pub(crate) fn environment_pointer() -> *const *const c_char {
    // SAFETY: a plain read of libc's variable, as `execv` does it.
    unsafe { environ }.cast_const().cast()
}

/// The places of the environment's strings. For the constructor: nobody else may be changing them.
pub(crate) fn environment() -> impl Iterator<Item = &'static mut *mut c_char> {
    // SAFETY: a plain read of libc's variable.
    let mut at = unsafe { environ };
    core::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: not beyond the NULL, where the iteration ends; each place is given out once.
        let place = unsafe { &mut *at };
        if place.is_null() {
            return None;
        }
        at = at.wrapping_add(1);
        Some(place)
    })
}

/// Takes one place out of the environment. For the constructor, as [`environment`].
pub(crate) fn remove_from_environment(place: &mut *mut c_char) {
    let mut at: *mut *mut c_char = place;
    loop {
        // SAFETY: the place after one that is not NULL.
        let next = unsafe { *at.wrapping_add(1) };
        // SAFETY: a place of the environment.
        unsafe { *at = next };
        if next.is_null() {
            return;
        }
        at = at.wrapping_add(1);
    }
}

/// The system call; `errno` is set as by libc.
///
/// # Safety
/// As execve(2).
pub(crate) unsafe fn execve(
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    // SAFETY: the arguments are execve(2)'s.
    unsafe { libc::syscall(libc::SYS_execve, path, arguments, environment) as c_int }
}

type Execvpe = unsafe extern "C" fn(*const c_char, *const *const c_char, *const *const c_char) -> c_int;
type PosixSpawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const c_char,
    *const c_void,
    *const c_void,
    *const *const c_char,
    *const *const c_char,
) -> c_int;

/// The functions behind ours, asked for by the constructor: a child of `vfork` must not ask the loader.
static REAL_EXECVPE: AtomicUsize = AtomicUsize::new(0);
static REAL_POSIX_SPAWN: AtomicUsize = AtomicUsize::new(0);
static REAL_POSIX_SPAWNP: AtomicUsize = AtomicUsize::new(0);

/// Looks up the functions behind ours.
pub(crate) fn find_real_functions() {
    for (place, name) in [
        (&REAL_EXECVPE, c"execvpe"),
        (&REAL_POSIX_SPAWN, c"posix_spawn"),
        (&REAL_POSIX_SPAWNP, c"posix_spawnp"),
    ] {
        next(place, name);
    }
}

/// What the next library defines as `name`, remembered in `place`; 0 if none does.
fn next(place: &AtomicUsize, name: &CStr) -> usize {
    let known = place.load(Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: `name` is NUL-terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
    place.store(address, Relaxed);
    address
}

/// The execvpe behind ours.
///
/// # Safety
/// As execvpe(3).
pub(crate) unsafe fn real_execvpe(
    file: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    let address = next(&REAL_EXECVPE, c"execvpe");
    if address == 0 {
        set_errno(libc::ENOSYS);
        return -1;
    }
    // SAFETY: whoever defines execvpe gives it execvpe(3)'s type.
    let real: Execvpe = unsafe { core::mem::transmute(address) };
    // SAFETY: the arguments are execvpe(3)'s.
    unsafe { real(file, arguments, environment) }
}

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spawn {
    /// `posix_spawn`: the path is given.
    ByPath,
    /// `posix_spawnp`: `PATH` is searched.
    ByName,
}

/// The posix_spawn or posix_spawnp behind ours.
///
/// # Safety
/// As posix_spawn(3).
pub(crate) unsafe fn real_posix_spawn(
    spawn: Spawn,
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    let address = match spawn {
        Spawn::ByPath => next(&REAL_POSIX_SPAWN, c"posix_spawn"),
        Spawn::ByName => next(&REAL_POSIX_SPAWNP, c"posix_spawnp"),
    };
    if address == 0 {
        return libc::ENOSYS;
    }
    // SAFETY: whoever defines these gives them posix_spawn(3)'s type.
    let real: PosixSpawn = unsafe { core::mem::transmute(address) };
    // SAFETY: the arguments are posix_spawn(3)'s.
    unsafe { real(pid, file, actions, attributes, arguments, environment) }
}
