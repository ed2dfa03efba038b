//! glibc's questions about its heap and its orders to it, answered by jemalloc.
//!
//! | glibc's word | here |
//! | --- | --- |
//! | `arena` | bytes mapped from the system |
//! | `uordblks` | bytes in blocks that the program holds, those parked in thread caches included |
//! | `fordblks` | the rest of what is mapped |
//! | `keepcost` | what `malloc_trim` would give back now |
//! | `hblks`, `hblkhd`, ... | 0: no block has a map of its own |
//!
//! `mallopt` refuses what glibc refuses and accepts the rest without effect: its thresholds are about a
//! heap with a top, and there is none. What can be set here is in `MALLOC_CONF`.
//!
//! Invariant: the exported functions keep glibc's types and results; text is built on the stack.
#![allow(unsafe_code)] // the C interface of malloc

use crate::mallctl::names;
use crate::statistics::{Pages, Statistics};
use crate::{block, decay, objects, sys};
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use slackwater_layout::slackwater::Reason;

/// Gives unused pages back; 1 if there were any. What is to be kept (`_pad`) has no meaning where free
/// memory is not at the end of one heap.
///
/// # Safety
/// None: malloc_trim(3) has no precondition.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn malloc_trim(_pad: usize) -> c_int {
    let (Some(statistics), Some(purge)) = (Statistics::resolve(), names::PURGE_ALL.resolve()) else {
        return 0;
    };
    let before = statistics.refresh();
    decay::purge(&purge);
    let after = statistics.refresh();
    let bytes = before.unused_bytes().saturating_sub(after.unused_bytes());
    block::publish(|block| block::record(block, Reason::Trim, bytes));
    c_int::from(bytes > 0)
}

/// `struct mallinfo2` of glibc's `malloc.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Info<T> {
    arena: T,
    ordblks: T,
    smblks: T,
    hblks: T,
    hblkhd: T,
    usmblks: T,
    fsmblks: T,
    uordblks: T,
    fordblks: T,
    keepcost: T,
}

/// # Safety
/// None: mallinfo(3) has no precondition.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mallinfo2() -> Info<usize> {
    let use_now = Use::now();
    Info {
        arena: use_now.mapped_bytes,
        ordblks: 1,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: use_now.allocated_bytes,
        fordblks: use_now.free_bytes(),
        keepcost: use_now.pages.unused_bytes() as usize,
    }
}

/// The old one, whose numbers end at 2 GiB: larger ones stay there.
///
/// # Safety
/// None: mallinfo(3) has no precondition.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mallinfo() -> Info<c_int> {
    // SAFETY: no precondition.
    let info = unsafe { mallinfo2() };
    let narrow = |bytes: usize| c_int::try_from(bytes).unwrap_or(c_int::MAX);
    Info {
        arena: narrow(info.arena),
        ordblks: narrow(info.ordblks),
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: narrow(info.uordblks),
        fordblks: narrow(info.fordblks),
        keepcost: narrow(info.keepcost),
    }
}

/// XML in the shape of glibc's: one heap, and the totals.
///
/// # Safety
/// As malloc_info(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    let use_now = Use::now();
    let mut text = Text::new();
    let (mapped, free) = (use_now.mapped_bytes, use_now.free_bytes());
    let active = use_now.pages.active_bytes;
    // Writing to `Text` cannot fail; what does not fit is cut.
    let _ = write!(
        text,
        "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n\
         <total type=\"fast\" count=\"0\" size=\"0\"/>\n<total type=\"rest\" count=\"1\" size=\"{free}\"/>\n\
         <system type=\"current\" size=\"{mapped}\"/>\n<system type=\"max\" size=\"{mapped}\"/>\n\
         <aspace type=\"total\" size=\"{active}\"/>\n<aspace type=\"mprotect\" size=\"{active}\"/>\n</heap>\n\
         <total type=\"fast\" count=\"0\" size=\"0\"/>\n<total type=\"rest\" count=\"1\" size=\"{free}\"/>\n\
         <total type=\"mmap\" count=\"0\" size=\"0\"/>\n\
         <system type=\"current\" size=\"{mapped}\"/>\n<system type=\"max\" size=\"{mapped}\"/>\n\
         <aspace type=\"total\" size=\"{active}\"/>\n<aspace type=\"mprotect\" size=\"{active}\"/>\n</malloc>\n"
    );
    let bytes = text.bytes();
    // SAFETY: `stream` is open for writing, as malloc_info(3) asks of our caller.
    unsafe { libc::fwrite(bytes.as_ptr().cast::<c_void>(), 1, bytes.len(), stream) };
    0
}

/// The totals on standard error, as glibc prints them. jemalloc's own report is `malloc_stats_print`.
///
/// # Safety
/// None: malloc_stats(3) has no precondition.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn malloc_stats() {
    let use_now = Use::now();
    let mut text = Text::new();
    let (mapped, allocated) = (use_now.mapped_bytes, use_now.allocated_bytes);
    // Writing to `Text` cannot fail; what does not fit is cut.
    let _ = write!(
        text,
        "Arena 0:\nsystem bytes     = {mapped:10}\nin use bytes     = {allocated:10}\n\
         Total (incl. mmap):\nsystem bytes     = {mapped:10}\nin use bytes     = {allocated:10}\n\
         max mmap regions = {0:10}\nmax mmap bytes   = {0:10}\n",
        0
    );
    sys::write_error(text.bytes());
}

const M_MXFAST: c_int = 1;
const M_ARENA_TEST: c_int = -7;
const M_ARENA_MAX: c_int = -8;
/// glibc's `MAX_FAST_SIZE`.
const FAST_MAX_BYTES: c_int = 160;

/// # Safety
/// None: mallopt(3) has no precondition.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    c_int::from(match parameter {
        M_MXFAST => (0..=FAST_MAX_BYTES).contains(&value),
        M_ARENA_TEST | M_ARENA_MAX => value > 0,
        _ => true,
    })
}

struct Use {
    mapped_bytes: usize,
    allocated_bytes: usize,
    pages: Pages,
}

impl Use {
    fn now() -> Self {
        let pages = Statistics::resolve().map(|statistics| statistics.refresh()).unwrap_or_default();
        let read = |name: crate::mallctl::Name<usize>| name.read().unwrap_or(0);
        let (used, unused) = objects::bytes();
        Self {
            mapped_bytes: read(names::MAPPED) + (used + unused) as usize,
            allocated_bytes: read(names::ALLOCATED) + used as usize,
            pages,
        }
    }

    fn free_bytes(&self) -> usize {
        self.mapped_bytes.saturating_sub(self.allocated_bytes)
    }
}

/// Text on the stack.
struct Text {
    bytes: [u8; 1024],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; 1024], len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let n_bytes = text.len().min(room.len());
        room[..n_bytes].copy_from_slice(&text.as_bytes()[..n_bytes]);
        self.len += n_bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_that_glibc_refuses_are_refused() {
        // SAFETY: no precondition.
        let check = |parameter, value, expected| assert_eq!(unsafe { mallopt(parameter, value) }, expected);
        check(M_MXFAST, 160, 1);
        check(M_MXFAST, 161, 0);
        check(M_ARENA_MAX, 0, 0);
        check(-1, 131_072, 1);
    }
}
