//! Our entry in `LD_PRELOAD`: taken out of a Python process's environment, kept for its Python children.
//!
//! A service starts shells, compilers and browsers that must not run on our malloc; those children get
//! the value back that was there before us. Children that are Python again are workers: see `children`.
//! Other entries stay, in their order. `/proc/PID/environ` still shows what the process was started
//! with: the strings themselves are not written to.
//!
//! `SLACKWATER_INHERIT=all` leaves the environment alone, so that every child inherits.
//!
//! Invariant: written once, by the constructor, before there is a second thread; only read afterwards.
#![allow(unsafe_code)] // the environment

use crate::sys;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Release};

/// The variable's name with the sign after it.
pub(crate) const VARIABLE: &[u8] = b"LD_PRELOAD=";

/// How the library's file is called, wherever it lies.
const FILE_NAME: &[u8] = b"libslackwater_alloc.so";

/// The library that records what malloc is asked, and must stand in front of whoever answers.
const AGENT_FILE_NAME: &[u8] = b"libslackwater_agent.so";

/// Longest value that is edited.
pub(crate) const VALUE_BYTES: usize = 2048;

/// Bytes written once.
struct Once(UnsafeCell<[u8; VALUE_BYTES]>);

// SAFETY: written by the constructor, while the process has one thread; `ENTRY_LEN` publishes it.
unsafe impl Sync for Once {}

/// Our entry as it was written.
static ENTRY: Once = Once(UnsafeCell::new([0; VALUE_BYTES]));
static ENTRY_LEN: AtomicUsize = AtomicUsize::new(0);
/// `LD_PRELOAD=` and the entries of others.
static REST: Once = Once(UnsafeCell::new([0; VALUE_BYTES]));

/// Our entry, if it was taken out.
pub(crate) fn entry() -> Option<&'static [u8]> {
    let len = ENTRY_LEN.load(Acquire);
    // SAFETY: not written any more once `ENTRY_LEN` is set.
    let bytes = unsafe { &*ENTRY.0.get() };
    (len > 0).then(|| &bytes[..len])
}

/// Takes our entry out of the environment. To be called by the constructor only.
pub(crate) fn take_out() {
    let inherit = sys::secure_getenv(c"SLACKWATER_INHERIT".as_ptr());
    // SAFETY: a string of the environment.
    if !inherit.is_null() && unsafe { CStr::from_ptr(inherit) } == c"all" {
        return;
    }
    for place in sys::environment() {
        // SAFETY: `place` is one of the environment's strings.
        let text = unsafe { CStr::from_ptr(*place) }.to_bytes();
        let Some(value) = text.strip_prefix(VARIABLE) else { continue };
        let Some(own) = own_entry(value) else { continue };
        // SAFETY: the constructor runs once, alone.
        let rest = unsafe { &mut *REST.0.get() };
        // SAFETY: as above.
        let entry = unsafe { &mut *ENTRY.0.get() };
        let Some(kept) = entry.get_mut(..own.len()) else { return };
        let Some(n_others) = without(value, rest) else { return };
        kept.copy_from_slice(own);
        ENTRY_LEN.store(own.len(), Release);
        if n_others > 0 {
            *place = rest.as_mut_ptr().cast::<c_char>();
        } else {
            sys::remove_from_environment(place);
        }
        return;
    }
}

fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| matches!(byte, b':' | b' ')).filter(|entry| !entry.is_empty())
}

fn is_own(entry: &[u8]) -> bool {
    is_named(entry, FILE_NAME)
}

fn is_named(entry: &[u8], file_name: &[u8]) -> bool {
    entry.rsplit(|&byte| byte == b'/').next() == Some(file_name)
}

/// Our entry in a value of the variable.
pub(crate) fn own_entry(value: &[u8]) -> Option<&[u8]> {
    entries(value).find(|entry| is_own(entry))
}

/// Writes the variable with the entries of others, NUL-terminated; how many there are.
fn without(value: &[u8], into: &mut [u8; VALUE_BYTES]) -> Option<usize> {
    if VARIABLE.len() + value.len() >= VALUE_BYTES {
        return None;
    }
    let mut len = 0;
    let mut push = |bytes: &[u8]| {
        into[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    push(VARIABLE);
    let mut n_others = 0;
    for entry in entries(value).filter(|entry| !is_own(entry)) {
        if n_others > 0 {
            push(b":");
        }
        push(entry);
        n_others += 1;
    }
    push(b"\0");
    Some(n_others)
}

/// Writes the variable with our entry put back in front of `value`, NUL-terminated; behind the agent,
/// where that is the first.
pub(crate) fn put_back<'a>(entry: &[u8], value: &[u8], into: &'a mut [u8; VALUE_BYTES]) -> Option<&'a [u8]> {
    let mut len = 0;
    let mut push = |bytes: &[u8]| -> Option<()> {
        into.get_mut(len..len + bytes.len())?.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    push(VARIABLE)?;
    let mut others = entries(value).peekable();
    if let Some(agent) = others.next_if(|first| is_named(first, AGENT_FILE_NAME)) {
        push(agent)?;
        push(b":")?;
    }
    push(entry)?;
    for other in others {
        push(b":")?;
        push(other)?;
    }
    push(b"\0")?;
    into.get(..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_stay_in_their_order() {
        let check = |value: &str, expected: &str, expected_n| {
            let mut into = [1; VALUE_BYTES];
            assert_eq!(without(value.as_bytes(), &mut into), Some(expected_n), "{value}");
            let text = CStr::from_bytes_until_nul(&into).expect("terminated");
            assert_eq!(text.to_str(), Ok(expected), "{value}");
        };
        check("/x/libslackwater_alloc.so", "LD_PRELOAD=", 0);
        check("/a.so:/x/libslackwater_alloc.so:/b.so", "LD_PRELOAD=/a.so:/b.so", 2);
        check("libslackwater_alloc.so /b.so", "LD_PRELOAD=/b.so", 1);
        check("/x/libslackwater_alloc.so.old", "LD_PRELOAD=/x/libslackwater_alloc.so.old", 1);
    }

    #[test]
    fn what_is_too_long_is_left_alone() {
        assert_eq!(without(&[b'a'; VALUE_BYTES], &mut [0; VALUE_BYTES]), None);
        assert_eq!(put_back(&[b'a'; VALUE_BYTES], b"", &mut [0; VALUE_BYTES]), None);
    }

    #[test]
    fn the_entry_goes_back_in_front() {
        let mut into = [0; VALUE_BYTES];
        assert_eq!(put_back(b"/x.so", b"/a.so", &mut into), Some(&b"LD_PRELOAD=/x.so:/a.so\0"[..]));
        assert_eq!(put_back(b"/x.so", b"", &mut into), Some(&b"LD_PRELOAD=/x.so\0"[..]));
        let recorded = b"/y/libslackwater_agent.so /a.so:/b.so";
        let expected = b"LD_PRELOAD=/y/libslackwater_agent.so:/x.so:/a.so:/b.so\0";
        assert_eq!(put_back(b"/x.so", recorded, &mut into), Some(&expected[..]));
    }
}
