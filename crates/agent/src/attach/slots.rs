//! Slots, redirected to the hooks and back.
//!
//! A slot is redirected when it holds the address of the real function, or, where functions are bound at
//! their first call, still that of its own object's stub. It is given back when it holds the hook's: to the
//! real function, which is where its first call would have led. So nothing has to be remembered of a slot,
//! and one that somebody else has changed meanwhile is left alone.
//!
//! An object of which any slot leads elsewhere is left alone as a whole: it may have an allocator of its own
//! (`RTLD_DEEPBIND`), and what one allocator has handed out must come back to it.
//!
//! Invariant: one store of eight bytes changes a slot, so a call finds the one or the other. Only for who
//! holds the loader's lock.
#![allow(unsafe_code)] // writing slots

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::list::{self, Changes};
use super::objects::{Object, Slot};
use super::{loader, names};
use crate::{hooks, sys};

/// Slots that were gone through.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) n_changed: u64,
    /// Those in pages that could not be made writable.
    pub(super) n_refused: u64,
}

/// Objects that are remembered as done; more are looked at each time.
const REMEMBERED: usize = 1024;

static N_LOADS: AtomicU64 = AtomicU64::new(0);
static N_UNLOADS: AtomicU64 = AtomicU64::new(0);
static DONE: [AtomicU64; REMEMBERED] = [const { AtomicU64::new(0) }; REMEMBERED];

/// Redirects the slots of every object to the hooks.
pub(super) fn take() -> Passed {
    forget();
    let passed = pass(redirect);
    remember(list::changes());
    passed
}

/// Redirects the slots of objects that have come since; whether any object has come or gone.
pub(super) fn take_more() -> bool {
    let changes = list::changes();
    let Some(now) = changes else { return false };
    let known = Changes { n_loads: N_LOADS.load(Relaxed), n_unloads: N_UNLOADS.load(Relaxed) };
    // Nothing was taken, or it has been given back.
    if known.n_loads == 0 || now == known {
        return false;
    }
    if now.n_unloads != known.n_unloads {
        // Another object may be where one was.
        forget();
    }
    pass(redirect);
    remember(changes);
    true
}

/// Has the object that holds the real malloc map by itself, where the loader has led all of its calls to the
/// hooks: what an allocator maps it hands out in blocks, and those are seen.
pub(crate) fn release_mappings_of(malloc: u64) {
    list::each(|object| {
        if object.holds(malloc) {
            change(object, |slot, _| names::mapping_behind(slot.name));
        }
        !object.holds(malloc)
    });
}

/// Leads every slot that leads to a hook back to the real function.
pub(super) fn give_back() -> Passed {
    forget();
    remember(None);
    let passed = pass(|_, slot, value| {
        let hook = names::of(slot.name)?;
        (value == hook.ours()).then(|| hook.theirs())
    });
    forget();
    passed
}

fn redirect(object: &Object, slot: &Slot, value: u64) -> Option<u64> {
    let hook = names::of(slot.name)?;
    // What an allocator maps it hands out in blocks, and those are seen.
    if hook.is_of_mappings() && names::of(c"malloc").is_some_and(|malloc| object.holds(malloc.theirs())) {
        return None;
    }
    (value == hook.theirs() || is_unbound(object, slot, value)).then(|| hook.ours())
}

fn is_unbound(object: &Object, slot: &Slot, value: u64) -> bool {
    slot.is_lazy && object.runs(value)
}

/// Whether a function of this object is another one than the program's.
fn has_its_own(object: &Object) -> bool {
    object.slots().filter(|slot| slot.is_function).any(|slot| {
        let Some(hook) = names::of(slot.name) else { return false };
        // SAFETY: a word in the object's writable segment, aligned.
        let value = unsafe { &*(slot.at as *const AtomicU64) }.load(Acquire);
        value != hook.theirs() && value != hook.ours() && !is_unbound(object, &slot, value)
    })
}

fn forget() {
    DONE.iter().for_each(|place| place.store(0, Relaxed));
}

fn remember(changes: Option<Changes>) {
    let Changes { n_loads, n_unloads } = changes.unwrap_or(Changes { n_loads: 0, n_unloads: 0 });
    N_LOADS.store(n_loads, Relaxed);
    N_UNLOADS.store(n_unloads, Relaxed);
}

/// Goes through all objects but this library and the loader; `wanted` says what a slot is to hold instead.
fn pass(wanted: impl Fn(&Object, &Slot, u64) -> Option<u64>) -> Passed {
    let mut passed = Passed::default();
    let mut done = DONE.iter();
    let own = hooks::malloc as *const () as u64;
    list::each(|object| {
        let is_known = DONE.iter().any(|place| place.load(Relaxed) == object.identity());
        if is_known || object.holds(own) || object.holds(loader::lock_address()) || has_its_own(object) {
            return true;
        }
        let changed = change(object, |slot, value| wanted(object, slot, value));
        passed.n_changed += changed.n_changed;
        passed.n_refused += changed.n_refused;
        let place = done.find(|place| place.load(Relaxed) == 0);
        if let Some(place) = place {
            place.store(object.identity(), Relaxed);
        }
        true
    });
    passed
}

/// Goes through the slots of one object; `wanted` says what a slot is to hold instead.
fn change(object: &Object, wanted: impl Fn(&Slot, u64) -> Option<u64>) -> Passed {
    let mut passed = Passed::default();
    let mut opened = Opened { pages: object.read_only(), is_open: false };
    for slot in object.slots() {
        // SAFETY: a word in the object's writable segment, aligned.
        let word = unsafe { &*(slot.at as *const AtomicU64) };
        let Some(value) = wanted(&slot, word.load(Acquire)) else { continue };
        if opened.open_for(slot.at) {
            word.store(value, Release);
            passed.n_changed += 1;
        } else {
            passed.n_refused += 1;
        }
    }
    passed
}

/// The pages of an object that its loader has made read-only, writable while this lives.
struct Opened<'a> {
    pages: &'a Range<u64>,
    is_open: bool,
}

impl Opened<'_> {
    /// Sees to it that the word at `at` can be written; whether that worked.
    fn open_for(&mut self, at: u64) -> bool {
        if !self.pages.contains(&at) {
            return true;
        }
        self.is_open = self.is_open || sys::make_writable(self.pages);
        self.is_open
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if self.is_open {
            sys::make_read_only(self.pages);
        }
    }
}
