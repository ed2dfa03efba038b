//! glibc's questions about its heap, answered from jemalloc's numbers.
#![allow(unsafe_code)] // the C interface of malloc

use crate::block;
use crate::mallctl::names;
use crate::statistics::Statistics;
use core::ffi::c_int;
use slackwater_layout::slackwater::Reason;

/// Gives unused pages back; returns 1 if there were any. What is to be kept (`_pad`) has no meaning
/// where free memory is not at the end of one heap.
///
/// # Safety
/// None: malloc_trim(3) has no precondition.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc_trim(_pad: usize) -> c_int {
    let (Some(statistics), Some(purge)) = (Statistics::resolve(), names::PURGE_ALL.resolve()) else {
        return 0;
    };
    let before = statistics.refresh();
    purge.run();
    let after = statistics.refresh();
    let bytes = before.unused_bytes().saturating_sub(after.unused_bytes());
    block::publish(|block| block::record(block, Reason::Trim, bytes));
    c_int::from(bytes > 0)
}
