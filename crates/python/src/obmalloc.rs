//! Where pymalloc keeps its books, found by what they look like.
//!
//! No symbol leads there: before 3.12 the variables are static, and later their offset in the
//! interpreter is nowhere exported and moves between releases.

mod managed;
mod statics;
mod table;

use slackwater_base::Range;
use slackwater_layout::cpython::{PymallocState, PythonVersion};
use slackwater_memory::{Memory, MemoryError};

pub(crate) use managed::find_others;

/// The state in the image's static data: the only one before 3.12, the main interpreter's later.
/// None when pymalloc holds no arena.
pub(crate) fn find_static<M: Memory + ?Sized>(
    memory: &M,
    data: &[Range],
    version: PythonVersion,
) -> Result<Option<PymallocState>, MemoryError> {
    if version.is_from(12) {
        managed::find_static(memory, data, version)
    } else {
        statics::find(memory, data, version)
    }
}
