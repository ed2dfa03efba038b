//! The proof that a call can be made in a thread: what it is inside of, and what it is not.
//!
//! Outside the C library and the loader, code holds no lock that an allocator or the loader takes
//! (libraries that export `malloc`, and what the caller names, are excluded by their files). Inside the C
//! library that is known only of the functions listed here: each waits for something, and holds none of
//! the library's own locks while it does.
//!
//! A listed function may have jumped to another one and left no frame: then the call that entered the library
//! says which it was (`call_site`).
//!
//! Invariant: what is not proven is refused. A function of the C library without an exported name is
//! accepted only when it was called, or jumped to, within the library, from a listed one.

use std::time::Instant;

use slackwater_memory::FileId;

use crate::call_site;
use crate::code::Code;
use crate::error::Unsafe;
use crate::module::{Module, Role};
use crate::regs::Registers;
use crate::stack::Words;
use crate::unwind::{Context, Frame, walk};
use slackwater_base::{Addr, Range};

/// Functions that do little more than one system call that may wait, and hold no lock of the C library
/// meanwhile.
const WAITS: &[&str] = &[
    "__nanosleep",
    "__poll",
    "__poll_chk",
    "__ppoll_chk",
    "__pselect",
    "__read",
    "__read_chk",
    "__recv",
    "__recv_chk",
    "__recvfrom_chk",
    "__select",
    "__send",
    "__wait",
    "__wait4",
    "__waitpid",
    "__write",
    "accept",
    "accept4",
    "clock_nanosleep",
    "connect",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "flock",
    "fsync",
    "lockf",
    "msgrcv",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pread",
    "pread64",
    "preadv",
    "pselect",
    "pthread_cond_clockwait",
    "pthread_cond_timedwait",
    "pthread_cond_wait",
    "pthread_join",
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "pthread_timedjoin_np",
    "pwrite",
    "pwrite64",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sched_yield",
    "select",
    "sem_clockwait",
    "sem_timedwait",
    "sem_wait",
    "semop",
    "semtimedop",
    "send",
    "sendfile",
    "sendfile64",
    "sendmsg",
    "sendto",
    "sigsuspend",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
    "sleep",
    "splice",
    "syscall",
    "usleep",
    "wait",
    "wait3",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
];

/// Listed functions that do more than wait: they take locks of the library to put a thread's stack away. They
/// are waits as long as the thread is in the system call.
const WAITS_FOR_THREADS: &[&str] = &["pthread_join", "pthread_timedjoin_np"];

/// Exported functions below which a thread's or the program's own code runs.
const STARTS: &[&str] = &["__clone", "__libc_start_main", "clone"];

/// Walks the stack of a stopped thread and judges every frame. Returns the listed function by which
/// the innermost frames entered the C library, if the thread is inside it.
pub(crate) fn prove(
    code: &Code<'_>,
    registers: &Registers,
    stack: Range,
    words: &Words<'_>,
    forbidden: &[FileId],
    until: Instant,
) -> Result<Option<&'static str>, Unsafe> {
    let frames = walk(&Target { code, words }, registers, stack, until)?;
    let described: Vec<_> = frames
        .iter()
        .enumerate()
        .filter_map(|(index, frame)| {
            let module = code.module(frame.module)?;
            let file = code.file_of(frame.module);
            let mut names = names_at(code, frame.lookup);
            if names.is_empty() && module.role == Role::Libc {
                names = frames.get(index + 1).map_or_else(Vec::new, |caller| names_called(code, *caller));
            }
            Some(Described {
                role: module.role,
                is_forbidden: module.is_allocator || file.is_some_and(|file| forbidden.contains(&file)),
                names,
            })
        })
        .collect();
    debug_assert_eq!(described.len(), frames.len());
    let last = frames.last().copied();
    let is_root = last.is_some_and(|Frame { lookup, module }| {
        code.module(module).is_some_and(|module| module.role == Role::Libc || module.is_start(lookup))
    });
    if !is_root {
        return Err(Unsafe::NoRoot(last.map_or(registers.pc(), |frame| frame.lookup)));
    }
    let entered = judge(&described)?;
    match entered.filter(|name| WAITS_FOR_THREADS.contains(name)) {
        Some(name) if !registers.is_in(libc::SYS_futex) => {
            Err(Unsafe::InLibc { function: Some(name.to_owned()) })
        }
        _ => Ok(entered),
    }
}

/// The names under which the C library exports the function at an address.
fn names_at(code: &Code<'_>, addr: Addr) -> Vec<String> {
    let module = code.module_at(addr).ok().and_then(|index| code.module(index));
    let libc = module.filter(|module| module.role == Role::Libc);
    libc.map_or_else(Vec::new, |module| module.exported_at(addr).map(str::to_owned).collect())
}

/// The names of the function by which the C library was entered from a frame outside of it; none when the
/// call does not say.
fn names_called(code: &Code<'_>, caller: Frame) -> Vec<String> {
    let is_outside = code.module(caller.module).is_some_and(|module| module.role == Role::Other);
    let callee = || call_site::callee(caller.lookup + 1, |at, into| code.read(at, into));
    is_outside.then(callee).flatten().map_or_else(Vec::new, |callee| names_at(code, callee))
}

/// Whether a thread that is blocked at `pc` is known to be no candidate, without stopping it: it is
/// in a function of the C library that is not on the list, such as one that waits for a lock.
pub(crate) fn rules_out(code: &Code<'_>, pc: Addr) -> Option<Unsafe> {
    let module = code.module(code.mapping_at(pc)?).filter(|module| module.role == Role::Libc)?;
    let names: Vec<_> = module.exported_at(pc).map(str::to_owned).collect();
    let is_wait = names.iter().any(|name| WAITS.contains(&name.as_str()));
    (!names.is_empty() && !is_wait).then(|| Unsafe::InLibc { function: names.into_iter().next() })
}

/// A frame, as far as the judgement needs it.
struct Described {
    role: Role,
    is_forbidden: bool,
    /// Exported names of its function.
    names: Vec<String>,
}

/// Judges the frames of a whole stack, innermost first. Returns what [`prove`] does.
fn judge(frames: &[Described]) -> Result<Option<&'static str>, Unsafe> {
    if frames.iter().any(|frame| frame.role == Role::Loader) {
        return Err(Unsafe::InLoader);
    }
    if frames.iter().any(|frame| frame.role == Role::Other && frame.is_forbidden) {
        return Err(Unsafe::InForbidden);
    }
    // The program's first function calls __libc_start_main; threads begin in the library itself.
    let outermost = frames.iter().rposition(|frame| frame.role == Role::Libc);
    let starts_at = outermost.filter(|at| frames.len() - at <= 2);
    let mut from = 0;
    let mut waits_in = None;
    for run in frames.chunk_by(|one, next| one.role == next.role) {
        let to = from + run.len();
        if run[0].role == Role::Libc {
            let is_start = starts_at == Some(to - 1);
            if is_start && from == 0 {
                // Nothing of the program's own runs: the thread is being set up or taken down.
                return Err(in_libc(&run[0]));
            }
            let entered = judge_run(run, if is_start { STARTS } else { WAITS }, is_start)?;
            waits_in = if from == 0 { entered } else { waits_in };
        }
        from = to;
    }
    Ok(waits_in)
}

/// Judges neighbouring frames of the C library: what it was entered by, and what that called.
/// Returns the former.
fn judge_run(
    run: &[Described],
    allowed: &[&'static str],
    is_start: bool,
) -> Result<Option<&'static str>, Unsafe> {
    let mut entered = None;
    for (index, frame) in run.iter().enumerate() {
        let is_entry = index + 1 == run.len() && !is_start;
        entered = allowed.iter().copied().find(|name| frame.names.iter().any(|own| own == name));
        let fine = entered.is_some() || frame.names.is_empty() && !is_entry;
        if !fine {
            return Err(in_libc(frame));
        }
    }
    Ok(entered)
}

fn in_libc(frame: &Described) -> Unsafe {
    Unsafe::InLibc { function: frame.names.first().cloned() }
}

struct Target<'a> {
    code: &'a Code<'a>,
    words: &'a Words<'a>,
}

impl Context for Target<'_> {
    fn module_at(&self, addr: Addr) -> Result<usize, Unsafe> {
        self.code.module_at(addr)
    }

    fn module(&self, index: usize) -> Option<&Module> {
        self.code.module(index)
    }

    fn word(&self, addr: Addr) -> Option<u64> {
        self.words.word(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames as a line, innermost first: `poll` an exported function of the C library, `?` one
    /// without a name, `app`, `ld` and `alloc` (the forbidden file).
    fn check(stack: &str, expected: Result<Option<&'static str>, Unsafe>) {
        let frames: Vec<_> = stack
            .split(' ')
            .map(|word| Described {
                role: match word {
                    "app" | "alloc" => Role::Other,
                    "ld" => Role::Loader,
                    _ => Role::Libc,
                },
                is_forbidden: word == "alloc",
                names: if ["?", "app", "ld", "alloc"].contains(&word) {
                    vec![]
                } else {
                    vec![word.to_owned()]
                },
            })
            .collect();
        assert_eq!(judge(&frames), expected, "{stack}");
    }

    fn in_function(name: &str) -> Result<Option<&'static str>, Unsafe> {
        Err(Unsafe::InLibc { function: Some(name.to_owned()) })
    }

    const IN_UNNAMED: Result<Option<&'static str>, Unsafe> = Err(Unsafe::InLibc { function: None });

    #[test]
    fn waits_and_own_code_are_safe() {
        check("poll app app ? __libc_start_main app", Ok(Some("poll")));
        check("? pthread_cond_wait app ? ?", Ok(Some("pthread_cond_wait")));
        check("? ? pthread_cond_wait app ? clone", Ok(Some("pthread_cond_wait")));
        check("app ? ?", Ok(None));
        check("app app ? __libc_start_main app", Ok(None));
    }

    #[test]
    fn everything_else_is_refused() {
        check("malloc app ? ?", in_function("malloc"));
        // Waiting for the lock of an arena: nobody but malloc is above.
        check("? ? malloc app ? ?", in_function("malloc"));
        check("? app ? ?", IN_UNNAMED);
        // A callback from within the library, which may hold a lock.
        check("poll app dl_iterate_phdr app ? ?", in_function("dl_iterate_phdr"));
        check("poll app fork app ? __libc_start_main app", in_function("fork"));
        check("poll app exit ? __libc_start_main app", in_function("exit"));
        // A cancellation that began inside a wait.
        check("malloc ? pthread_cond_wait app ? ?", in_function("malloc"));
        check("ld app ? ?", Err(Unsafe::InLoader));
        check("poll app ld app ? ?", Err(Unsafe::InLoader));
        check("app alloc app ? ?", Err(Unsafe::InForbidden));
        check("? ? ?", IN_UNNAMED);
        check("munmap ? ?", in_function("munmap"));
        check("poll", in_function("poll"));
    }
}
