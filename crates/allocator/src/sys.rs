//! The kernel and libc, one function per call.
//!
//! Invariants: no policy; nothing here allocates, locks or writes `errno` unless its name says so, so
//! that the first question of jemalloc, asked inside the first `malloc`, may be answered from here.
//! Files are opened by the system call itself: the libc function may be another preload's, and allocate.
#![allow(unsafe_code)] // system calls

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// The stack of the governor: it calls into jemalloc's statistics, which need a few KiB.
const THREAD_STACK_BYTES: usize = 128 << 10;

/// Sets `errno`.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: always valid, of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = value };
}

/// Runs `work` and leaves `errno` as it was.
pub(crate) fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: always valid, of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let result = work();
    // SAFETY: as above; the location of a thread's errno does not change.
    unsafe { *errno = saved };
    result
}

/// Ends the process.
#[cfg(all(not(test), panic = "abort"))]
pub(crate) fn abort() -> ! {
    // SAFETY: no precondition.
    unsafe { libc::abort() }
}

/// The process, in its innermost pid namespace; asked each time, so that it is right after any fork.
pub(crate) fn pid() -> u32 {
    // SAFETY: no precondition.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    pid as u32
}

/// The minor version of the libc that runs, if it is glibc 2.
pub(crate) fn libc_minor_version() -> Option<u32> {
    // SAFETY: returns a static string.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: as above, NUL-terminated.
    let version = unsafe { CStr::from_ptr(version) };
    let minor = version.to_bytes().strip_prefix(b"2.")?;
    let n_digits = minor.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&minor[..n_digits]).ok()?.parse().ok()
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; the clocks asked for here exist since Linux 2.6.12.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Processor time of all threads, nanoseconds.
pub(crate) fn process_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of this thread, nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Minor faults of the process since it began.
pub(crate) fn minor_faults() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable and of the right size.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: plain integers, zeroed before.
    unsafe { usage.assume_init() }.ru_minflt as u64
}

/// Sleeps, or less if interrupted.
pub(crate) fn sleep_ms(milliseconds: u64) {
    let time = libc::timespec {
        tv_sec: (milliseconds / 1000) as i64,
        tv_nsec: (milliseconds % 1000) as i64 * 1_000_000,
    };
    // SAFETY: reads `time`, writes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_clock_nanosleep,
            libc::CLOCK_MONOTONIC,
            0,
            &raw const time,
            core::ptr::null_mut::<libc::timespec>(),
        )
    };
}

/// An open file, closed when dropped.
#[derive(Debug)]
pub(crate) struct File(c_int);

impl File {
    /// Opens for reading, without waiting for a writer where it is a pipe, or taking a terminal; the
    /// descriptor does not pass to programs that the process starts.
    pub(crate) fn open(path: &CStr) -> Option<Self> {
        // SAFETY: `path` is NUL-terminated; the call writes no memory.
        let descriptor = keeping_errno(|| unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY,
                0,
            )
        });
        (descriptor >= 0).then_some(Self(descriptor as c_int))
    }

    /// Reads from the beginning, as much as fits and comes at once; empty on failure.
    pub(crate) fn read<'a>(&self, into: &'a mut [u8]) -> &'a [u8] {
        // SAFETY: `into` is writable for its length.
        let n_bytes = keeping_errno(|| unsafe {
            libc::syscall(libc::SYS_pread64, self.0, into.as_mut_ptr(), into.len(), 0)
        });
        &into[..usize::try_from(n_bytes).unwrap_or(0).min(into.len())]
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours, and is not used again.
        keeping_errno(|| unsafe { libc::syscall(libc::SYS_close, self.0) });
    }
}

/// Reads a small file; empty on failure.
pub(crate) fn read_file<'a>(path: &CStr, into: &'a mut [u8]) -> &'a [u8] {
    match File::open(path) {
        Some(file) => file.read(into),
        None => &[],
    }
}

/// The path of the program that runs; empty on failure.
pub(crate) fn executable(into: &mut [u8]) -> &[u8] {
    // SAFETY: the path is NUL-terminated, `into` writable for its length.
    let n_bytes = keeping_errno(|| unsafe {
        libc::syscall(
            libc::SYS_readlinkat,
            libc::AT_FDCWD,
            c"/proc/self/exe".as_ptr(),
            into.as_mut_ptr(),
            into.len(),
        )
    });
    &into[..usize::try_from(n_bytes).unwrap_or(0).min(into.len())]
}

/// Processors that this process may run on.
pub(crate) fn allowed_processors() -> u32 {
    let mut mask = [0_u64; 128];
    // SAFETY: `mask` is writable for the size given.
    let n_bytes = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr())
    });
    let n_words = usize::try_from(n_bytes).unwrap_or(0) / 8;
    mask.iter().take(n_words).map(|word| word.count_ones()).sum::<u32>().max(1)
}

unsafe extern "C" {
    /// The real `secure_getenv`: the linker gives the plain name to `options`.
    fn __real_secure_getenv(name: *const c_char) -> *mut c_char;
}

/// The value of an environment variable, or NULL; NULL too in a setuid program.
pub(crate) fn secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: callers pass NUL-terminated names.
    unsafe { __real_secure_getenv(name) }
}

/// Writes to standard error what fits in one call.
pub(crate) fn write_error(text: &[u8]) {
    // SAFETY: `text` is readable for its length.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len()) });
}

/// Starts a detached thread with a small stack that no signal of the process ever reaches.
pub(crate) fn spawn(run: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::zeroed();
    let mut thread = MaybeUninit::<libc::pthread_t>::zeroed();
    // SAFETY: `all` is writable.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `attributes` is writable.
    if unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: initialised above. A refusal leaves the default stack, which is larger.
    unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), THREAD_STACK_BYTES) };
    // SAFETY: initialised above.
    unsafe { libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED) };
    // The new thread inherits the mask; this thread gets its own back.
    // SAFETY: both sets are writable, `all` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: `run` never returns into anything that is gone: it takes no argument and is never unloaded
    // (the library is linked with `-z nodelete`).
    let failed =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, core::ptr::null_mut()) };
    // SAFETY: `before` was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut()) };
    // SAFETY: initialised above, not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    failed == 0
}

/// Names this thread.
pub(crate) fn name_thread(name: &CStr) {
    // SAFETY: reads at most 16 bytes of a NUL-terminated string.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr()) };
}

/// Gives this thread a table of descriptors of its own, empty: what it opens, the program does not see,
/// and what the program has open, it does not keep open. Before Linux 5.9 the table stays shared.
pub(crate) fn leave_descriptors() {
    const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
    // SAFETY: with this flag the table is copied first, so that no descriptor of another thread is closed;
    // where the flag is unknown the call fails and closes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, CLOSE_RANGE_UNSHARE) };
}

/// Registers what runs around each fork.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the functions are never unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// What `name` means to the whole program: the address that its calls reach.
pub(crate) fn global_symbol(name: &CStr) -> Option<usize> {
    // SAFETY: `name` is NUL-terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address as usize)
}

/// Takes a block from whatever is the program's malloc, and gives it back.
pub(crate) fn allocate_and_free(n_bytes: usize) {
    let (Some(malloc), Some(free)) = (global_symbol(c"malloc"), global_symbol(c"free")) else { return };
    // SAFETY: the program's `malloc` has malloc(3)'s type, whoever defines it.
    let malloc: extern "C" fn(usize) -> *mut c_void = unsafe { core::mem::transmute(malloc) };
    // SAFETY: likewise.
    let free: extern "C" fn(*mut c_void) = unsafe { core::mem::transmute(free) };
    // The compiler knows what malloc and free are, but not that it is them.
    free(core::hint::black_box(malloc(n_bytes)));
}

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

/// Whether `path` is the file that this process runs.
pub(crate) fn is_own_executable(path: &CStr) -> bool {
    identity(c"/proc/self/exe").is_some_and(|own| identity(path) == Some(own))
}

/// Device and inode of a file.
fn identity(path: &CStr) -> Option<(u64, u64)> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` is NUL-terminated, `status` writable; on x86-64 the kernel's layout is libc's.
    let failed = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path.as_ptr(), status.as_mut_ptr(), 0)
    });
    // SAFETY: plain integers, zeroed before.
    let status = unsafe { status.assume_init() };
    (failed == 0).then_some((status.st_dev, status.st_ino))
}

/// Calls `look` with each path that `PATH` makes of `name`, until it returns `false`.
pub(crate) fn each_in_path(name: &[u8], mut look: impl FnMut(&CStr) -> bool) {
    // SAFETY: the name is NUL-terminated.
    let path = unsafe { libc::getenv(c"PATH".as_ptr()) };
    if path.is_null() {
        return;
    }
    // SAFETY: a string of the environment.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    for folder in path.split(|&byte| byte == b':') {
        let mut text = [0; 1024];
        let len = folder.len() + 1 + name.len();
        // One byte stays 0.
        if folder.is_empty() || len >= text.len() {
            continue;
        }
        text[..folder.len()].copy_from_slice(folder);
        text[folder.len()] = b'/';
        text[folder.len() + 1..len].copy_from_slice(name);
        if let Ok(candidate) = CStr::from_bytes_until_nul(&text)
            && !look(candidate)
        {
            return;
        }
    }
}
