//! What jemalloc is told at start: our defaults, then the user's own words, so that the user's win.
//!
//! jemalloc asks `secure_getenv` for `_RJEM_MALLOC_CONF`, the name that its private prefix gives the
//! variable, and reads the answer from left to right. The library is linked with
//! `--wrap=secure_getenv`: the question comes here, and jemalloc itself stays as it was released.
//!
//! Invariant: asked inside the process's first `malloc`, so nothing here allocates, and files are read by
//! system calls. Composed once: jemalloc asks under its own lock.
#![allow(unsafe_code)] // a buffer that jemalloc reads, and its C symbols

use crate::{block, processors, program, sys};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use tikv_jemalloc_sys as jemalloc;

/// Ours for every program.
///
/// | option | why |
/// | --- | --- |
/// | `dirty_decay_ms:10000` | jemalloc's own: a busy service keeps its pages; the governor purges it when it is idle |
/// | `muzzy_decay_ms:0` | pages go back for real, so that RSS falls when they do |
/// | `oversize_threshold:0` | large blocks are reused like others, not unmapped at each free |
/// | `background_thread:false` | they die at fork, and the governor does their work |
/// | `zero_realloc:free` | as glibc does |
const DEFAULTS: &[u8] =
    b"dirty_decay_ms:10000,muzzy_decay_ms:0,oversize_threshold:0,background_thread:false,zero_realloc:free";

/// Ours for Python processes besides.
///
/// | option | why |
/// | --- | --- |
/// | `narenas:1` | threads allocate by turns, under the GIL: more arenas would only multiply what is kept |
/// | `tcache_max:1024`, `tcache_ncached_max` | what an idle thread has cached nobody can flush: at most 90 KiB |
/// | `slab_sizes:32-512:4` | slabs of 16 KiB for small blocks: a burst takes and returns fewer of them |
/// | `cache_oblivious:false` | saves a page for each block of 16 KiB and more |
const PYTHON_DEFAULTS: &[u8] =
    b",narenas:1,tcache_max:1024,tcache_ncached_max:8-64:64|80-256:32|320-1024:8,slab_sizes:32-512:4,cache_oblivious:false";

/// jemalloc's own rule for other programs, by processors; applied where a quota allows fewer processors
/// than jemalloc counts.
const ARENAS_PER_PROCESSOR: u32 = 4;

/// jemalloc's question.
const QUESTION: &CStr = c"_RJEM_MALLOC_CONF";
/// The variables whose words follow ours, the later one stronger.
const USER_VARIABLES: [&CStr; 2] = [c"MALLOC_CONF", QUESTION];

const ANSWER_BYTES: usize = 4096;

/// The answer; jemalloc keeps the pointer for ever.
struct Answer(UnsafeCell<[u8; ANSWER_BYTES]>);

// SAFETY: written once, inside jemalloc's initialisation, which one thread runs under a lock; only read
// afterwards.
unsafe impl Sync for Answer {}

static ANSWER: Answer = Answer(UnsafeCell::new([0; ANSWER_BYTES]));
static N_REFUSED: AtomicU32 = AtomicU32::new(0);
static N_MALFORMED: AtomicU32 = AtomicU32::new(0);

// Not a Rust function under that name, so that the library does not export it.
#[cfg(not(test))]
core::arch::global_asm!(
    ".globl __wrap_secure_getenv",
    ".hidden __wrap_secure_getenv",
    ".type __wrap_secure_getenv, @function",
    "__wrap_secure_getenv:",
    "jmp {answer}",
    answer = sym answer_secure_getenv,
);

/// # Safety
/// As secure_getenv(3).
unsafe extern "C" fn answer_secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: NUL-terminated, as secure_getenv(3) asks of our caller.
    if unsafe { CStr::from_ptr(name) } != QUESTION {
        return sys::secure_getenv(name);
    }
    sys::keeping_errno(|| {
        // SAFETY: the hook is a plain variable that jemalloc reads without a lock; we are inside its
        // initialisation, before any message of ours could be due.
        unsafe { jemalloc::malloc_message = Some(count_refusals) };
        // SAFETY: the only reference there is: see `Answer`.
        let answer = unsafe { &mut *ANSWER.0.get() };
        compose(answer);
        answer.as_mut_ptr().cast()
    })
}

fn compose(answer: &mut [u8; ANSWER_BYTES]) {
    // The last byte stays 0.
    let mut text = Text { bytes: &mut answer[..ANSWER_BYTES - 1], len: 0 };
    text.push(DEFAULTS);
    if program::is_python() {
        text.push(PYTHON_DEFAULTS);
    } else {
        let processors = processors::usable();
        if processors < sys::allowed_processors() {
            text.push_number(b",narenas:", processors * ARENAS_PER_PROCESSOR);
        }
    }
    if huge_pages_always() {
        // The kernel would fill purged holes with huge pages again.
        text.push(b",thp:never");
    }
    let user_start = text.len + 1;
    for variable in USER_VARIABLES {
        let value = sys::secure_getenv(variable.as_ptr());
        if !value.is_null() {
            // SAFETY: a string of the environment.
            let value = unsafe { CStr::from_ptr(value) }.to_bytes();
            if !value.is_empty() {
                text.push_whole(b",", value);
            }
        }
    }
    let end = text.len;
    block::keep_options(&answer[..end], user_start.min(end));
}

/// Text in a buffer of fixed size.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, more: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + more.len()) {
            room.copy_from_slice(more);
            self.len += more.len();
        }
    }

    fn push_number(&mut self, name: &[u8], number: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(name);
        self.push(&digits[at..]);
    }

    /// All of it or none: half of a user's option could mean something else.
    fn push_whole(&mut self, separator: &[u8], value: &[u8]) {
        if self.len + separator.len() + value.len() <= self.bytes.len() {
            self.push(separator);
            self.push(value);
        } else {
            N_REFUSED.fetch_add(1, Relaxed);
            sys::write_error(b"slackwater: MALLOC_CONF is too long and was ignored\n");
        }
    }
}

/// Whether the kernel makes huge pages of whatever it can.
pub(crate) fn huge_pages_always() -> bool {
    let mut text = [0; 64];
    let modes = sys::read_file(c"/sys/kernel/mm/transparent_hugepage/enabled", &mut text);
    modes.starts_with(b"[always]")
}

/// Passes jemalloc's messages on as jemalloc would have, and counts those that refuse an option.
///
/// # Safety
/// `message` is a string.
unsafe extern "C" fn count_refusals(_: *mut c_void, message: *const c_char) {
    // SAFETY: jemalloc passes a NUL-terminated string.
    let message = unsafe { CStr::from_ptr(message) }.to_bytes();
    let says = |words: &&[u8]| message.windows(words.len()).any(|found| found == *words);
    if REFUSED_OPTION.iter().any(&says) {
        N_REFUSED.fetch_add(1, Relaxed);
    } else if REFUSED_TEXT.iter().any(says) {
        N_MALFORMED.fetch_add(1, Relaxed);
    }
    sys::write_error(message);
}

/// How jemalloc 5.3.1 begins to say that it did not take an option (`src/conf.c`).
const REFUSED_OPTION: [&[u8]; 2] = [b"Invalid conf", b"Out-of-range conf"];
/// How it says so of text in which it finds no option. It reads all text twice, and says this twice.
const REFUSED_TEXT: [&[u8]; 2] = [b"Conf string", b"Malformed conf"];

/// Options that were refused.
pub(crate) fn n_refused() -> u32 {
    N_REFUSED.load(Relaxed) + N_MALFORMED.load(Relaxed).div_ceil(2)
}
