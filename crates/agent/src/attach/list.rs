//! The loader's list of objects, as `dl_iterate_phdr` shows it.
//!
//! Invariant: only for who holds the lock under which the loader loads, so that what was listed stays.
#![allow(unsafe_code)] // the callback

use core::ffi::{c_char, c_int, c_void};

use slackwater_inside::global_symbol;

use super::objects::{Header, Object};

/// What `dl_iterate_phdr` tells (link.h).
#[repr(C)]
struct Info {
    base: u64,
    name: *const c_char,
    headers: *const Header,
    n_headers: u16,
    n_loads: u64,
    n_unloads: u64,
}

type Callback = unsafe extern "C" fn(*const Info, usize, *mut c_void) -> c_int;
type Iterate = unsafe extern "C" fn(Callback, *mut c_void) -> c_int;

/// How often objects were loaded and unloaded so far: equal numbers, equal objects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) n_loads: u64,
    pub(super) n_unloads: u64,
}

/// How often objects were loaded and unloaded so far.
pub(super) fn changes() -> Option<Changes> {
    let mut found = None;
    iterate(&mut |info| {
        found = Some(Changes { n_loads: info.n_loads, n_unloads: info.n_unloads });
        false
    });
    found
}

/// Shows each object in the order of loading, which is the order in which symbols are looked for: program,
/// preloaded libraries, dependencies; then what was loaded later. `each` says whether to go on.
///
/// The list itself is only read, some objects at a time: its lock is held for an instant, because a child
/// that is forked meanwhile would inherit it taken.
pub(super) fn each(mut each: impl FnMut(&Object) -> bool) {
    let mut n_shown = 0;
    loop {
        let mut found = [None; AT_ONCE];
        let mut free = found.iter_mut();
        let mut n_passed = 0;
        iterate(&mut |info| {
            n_passed += 1;
            if n_passed <= n_shown {
                return true;
            }
            let Some(place) = free.next() else { return false };
            *place = Some(Found { base: info.base, headers: info.headers, n_headers: info.n_headers });
            true
        });
        for found in found {
            let Some(found) = found else { return };
            n_shown += 1;
            if let Some(object) = Object::new(found)
                && !each(&object)
            {
                return;
            }
        }
    }
}

/// Objects that are noted at one time.
const AT_ONCE: usize = 64;

/// An object of the list.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) base: u64,
    pub(super) headers: *const Header,
    pub(super) n_headers: u16,
}

fn iterate(each: &mut dyn FnMut(&Info) -> bool) {
    unsafe extern "C" fn callback(info: *const Info, _: usize, each: *mut c_void) -> c_int {
        // SAFETY: what was passed below, and is not used elsewhere meanwhile.
        let each = unsafe { &mut *each.cast::<&mut dyn FnMut(&Info) -> bool>() };
        // SAFETY: the loader's, for the time of the call; all releases since 2.4 have these fields.
        let goes_on = each(unsafe { &*info });
        c_int::from(!goes_on)
    }
    let mut each = each;
    if let Some(iterate) = global_symbol(c"dl_iterate_phdr") {
        // SAFETY: its type in link.h.
        let iterate = unsafe { core::mem::transmute::<usize, Iterate>(iterate) };
        // SAFETY: `each` outlives the call.
        unsafe { iterate(callback, (&raw mut each).cast()) };
    }
}
