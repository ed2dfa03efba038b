//! From what a hook saw to messages in the ring.
//!
//! When the ring is full, the collector is behind or gone. Exact recording waits for it, at most
//! [`PATIENCE_MS`] once, and then goes on with samples; sampling never waits, it counts what is lost. When
//! the collector has not been heard of for [`SILENCE_NS`], the agent becomes dormant.
//!
//! Invariant: nothing here is entered twice by one thread, not even by a signal's handler.

use core::sync::atomic::Ordering::Relaxed;

#[cfg(not(test))]
use slackwater_capture::transport::late::PYTHON_ALLOCATORS;
use slackwater_capture::transport::{Full, Message, Ring, Session, SessionState, Slot, Texts};

use crate::process::{self, EXACT, Process};
use crate::{python, sampler, stacks, sys, text, thread};

/// Longest wait for the collector, milliseconds.
const PATIENCE_MS: u64 = 200;
/// How long a thread that waits for the collector sleeps at a time, nanoseconds.
const NAP_NS: u64 = 100_000;
/// How long it leaves a little room to others, nanoseconds.
const POLITE_NS: u64 = 1_000_000;
/// The collector is taken for gone after so many nanoseconds.
const SILENCE_NS: u64 = 10_000_000_000;

/// How memory was asked for: the place in the capture's list.
pub(crate) const MALLOC: u8 = 0;
pub(crate) const CALLOC: u8 = 1;
pub(crate) const REALLOC: u8 = 2;
pub(crate) const ALIGNED: u8 = 3;
pub(crate) const MAPPING: u8 = 4;
pub(crate) const RAW: u8 = 5;
pub(crate) const MEM: u8 = 6;
pub(crate) const OBJECT: u8 = 7;

/// This thread is at work: hooks called meanwhile only pass on.
struct Guard(&'static sys::ThreadLocal);

impl Guard {
    /// `None` when this thread is at work already. A hook that was left by `longjmp` does not count: its
    /// frame lay below the present one.
    fn enter() -> Option<Self> {
        let thread = sys::thread_local();
        let marker = 0_u8;
        let here = &raw const marker as u64;
        let outer = thread.at_work.load(Relaxed);
        if outer != 0 && here < outer {
            return None;
        }
        thread.at_work.store(here, Relaxed);
        Some(Self(thread))
    }

    /// The thread's words, filled in for this process.
    #[inline]
    fn thread(&self, process: &Process) -> &'static sys::ThreadLocal {
        thread::renew(process, self.0);
        self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.at_work.store(0, Relaxed);
    }
}

/// Says who this process is. Called while it arms.
pub(crate) fn introduce(process: &Process) {
    let mut path = [0; 256];
    let path = sys::executable(&mut path);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    say(process, name, |texts| Message::Born { texts });
    if let Err(why) = process.python() {
        say(process, why.as_bytes(), |texts| Message::NoStacks { texts });
    }
    #[cfg(not(test))]
    if let Some(why) = crate::domains::heard().why_not() {
        say_fact(process, PYTHON_ALLOCATORS, why);
    }
}

/// Sends something about the process.
#[cfg(not(test))]
fn say_fact(process: &Process, key: &str, value: &str) {
    let texts = Texts { first_bytes: key.len() as u16, second_bytes: value.len() as u16 };
    let packed = |idx| text::packed_of(key.bytes().chain(value.bytes()), idx);
    send(process, Message::Fact { texts }.encode(), texts, packed);
}

/// Sends a text of this library's own, or a file's name.
pub(crate) fn say(process: &Process, text: &[u8], message: impl Fn(Texts) -> Message) {
    let texts = Texts { first_bytes: text.len().min(256) as u16, second_bytes: 0 };
    send(process, message(texts).encode(), texts, |idx| text::packed(text, idx));
}

/// Sends a message with the texts behind it.
pub(crate) fn send(process: &Process, first: Slot, texts: Texts, more: impl Fn(u64) -> Slot) {
    let Some(ring) = process.ring() else { return };
    push(process, || ring.push_many(first, texts.n_slots(), &more));
}

/// Sends a message of one slot.
#[inline]
pub(crate) fn send_one(process: &Process, message: Message) {
    let Some(ring) = process.ring() else { return };
    let slot = message.encode();
    if ring.push(slot).is_err() {
        // By value: what is only needed here is not kept at hand for it above.
        push(process, move || ring.push(slot));
    }
}

#[cold]
fn push(process: &Process, attempt: impl Fn() -> Result<(), Full>) {
    let Some(ring) = process.ring() else { return };
    let began_ns = sys::monotonic_ns();
    while attempt().is_err() {
        let exact = process::phase() == EXACT;
        if exact && wait(process, &ring, began_ns) {
            continue;
        }
        if process.session().state() == SessionState::Ended {
            process.become_dormant();
            return;
        }
        if exact && attempt().is_ok() {
            return;
        }
        ring.count_lost(1);
        if sys::monotonic_ns().saturating_sub(process.session().last_beat()) > SILENCE_NS {
            process.become_dormant();
        } else if exact && process.degrade() {
            ring.degrade();
        }
        return;
    }
}

/// Waits for another attempt; whether patience and the recording last. At first until there is room for a
/// while: who comes back for a few slots waits again at once, and takes the processor from the collector. But
/// those that come back first may take that room: who has waited longer takes whatever there is.
fn wait(process: &Process, ring: &Ring<'_>, began_ns: u64) -> bool {
    loop {
        let waited_ns = sys::monotonic_ns().saturating_sub(began_ns);
        if waited_ns >= PATIENCE_MS * 1_000_000 {
            return false;
        }
        sys::sleep_ns(NAP_NS);
        if process.session().state() == SessionState::Ended {
            return false;
        }
        if waited_ns >= POLITE_NS || ring.is_relieved() {
            return true;
        }
    }
}

/// A block was handed out, in a sampled process: whether it is sampled, and if so, that.
#[cold]
pub(crate) fn sample(measure: u8, addr: u64, size: u64) {
    let Some(process) = process::get() else { return };
    let Some(guard) = Guard::enter() else { return };
    let thread = guard.thread(process);
    let settings = process.session().settings();
    let is_first = thread.random.load(Relaxed) == 0;
    if is_first {
        let own = u64::from(thread.tid.load(Relaxed).wrapping_sub(process.pid()));
        let seed = match settings.seed {
            0 => sys::monotonic_ns() ^ u64::from(process.pid()) << 40,
            seed => seed,
        };
        thread.random.store(sampler::next_random(seed.wrapping_add(own << 20)).1 | 1, Relaxed);
    }
    let draw = || {
        let (state, random) = sampler::next_random(thread.random.load(Relaxed));
        thread.random.store(state, Relaxed);
        sampler::distance(random, settings.sample_mean)
    };
    let mut countdown = draw();
    if is_first {
        countdown = countdown.saturating_sub(size.min(i64::MAX as u64) as i64);
        if countdown > 0 {
            thread.countdown.store(countdown, Relaxed);
            return;
        }
        countdown = draw();
    }
    thread.countdown.store(countdown, Relaxed);
    let silent_ns = sys::monotonic_ns().saturating_sub(process.session().last_beat());
    if silent_ns > SILENCE_NS || process.session().state() == SessionState::Ended {
        process.become_dormant();
        return;
    }
    let stack = stacks::current(process, thread);
    // First in, so that a free in another thread, which can only come later, finds it.
    if !process.live().insert(addr)
        && let Some(ring) = process.ring()
    {
        ring.count_lost(1);
        return;
    }
    let tid = thread.tid.load(Relaxed);
    send_one(process, Message::Allocation { measure, sampled: true, addr, size, stack, tid });
}

/// Memory was handed out and is recorded as it is: by an exact process, or as a mapping.
#[inline(never)]
pub(crate) fn allocation(measure: u8, addr: u64, size: u64) {
    let Some(process) = process::get() else { return };
    let Some(guard) = Guard::enter() else { return };
    if ended(process) {
        return;
    }
    let thread = guard.thread(process);
    let stack = stacks::current(process, thread);
    let tid = thread.tid.load(Relaxed);
    send_one(process, Message::Allocation { measure, sampled: false, addr, size, stack, tid });
}

/// An arena of Python's was mapped.
#[cold]
pub(crate) fn arena(addr: u64, size: u64) {
    let Some(process) = process::get() else { return };
    let Some(guard) = Guard::enter() else { return };
    if ended(process) {
        return;
    }
    let tid = guard.thread(process).tid.load(Relaxed);
    let stack = stacks::of_arenas(process);
    send_one(process, Message::Allocation { measure: MAPPING, sampled: false, addr, size, stack, tid });
}

/// A block is about to be given back.
#[inline(never)]
pub(crate) fn free(addr: u64) {
    let Some(process) = process::get() else { return };
    let Some(guard) = Guard::enter() else { return };
    if ended(process) {
        return;
    }
    let tid = guard.thread(process).tid.load(Relaxed);
    send_one(process, Message::Free { addr, tid });
}

/// An event could not be told.
#[cfg(not(test))]
#[cold]
pub(crate) fn lost() {
    if let Some(ring) = process::get().and_then(Process::ring) {
        ring.count_lost(1);
    }
}

/// A range is about to be unmapped.
pub(crate) fn unmapped(addr: u64, size: u64) {
    let Some(process) = process::get() else { return };
    let Some(_guard) = Guard::enter() else { return };
    if !ended(process) {
        send_one(process, Message::Unmapped { addr, size });
    }
}

/// Whether the collector of a session listens, or did a moment ago.
pub(crate) fn is_heard(session: &Session<'_>) -> bool {
    let silent_ns = slackwater_inside::monotonic_ns().saturating_sub(session.last_beat());
    session.state() == SessionState::Open && silent_ns <= SILENCE_NS
}

#[inline]
fn ended(process: &Process) -> bool {
    let ended = process.session().state() == SessionState::Ended;
    if ended {
        process.become_dormant();
    }
    ended
}

/// Stacks cannot be read after all: the layout that was assumed does not hold.
#[cold]
pub(crate) fn refuse_stacks(process: &Process, why: &str) {
    process.python_state().store(python::REFUSED, Relaxed);
    say(process, why.as_bytes(), |texts| Message::NoStacks { texts });
}
