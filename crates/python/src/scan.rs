//! Searches data for a structure, word by word, with bounded memory of our own.

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{Memory, MemoryError, WINDOW_BYTES, Window};

/// Bytes that a look may take around its word without reading the target again.
pub(crate) const SIGHT: u64 = 128;
/// Bytes that are looked through with one window, which has a page more on either side.
const STEP: u64 = WINDOW_BYTES - 2 * PAGE_SIZE;

/// The first answer that `look` gives for an aligned, resident, non-zero word of `ranges`. It gets
/// the window that holds the word and, where they are in `ranges`, [`SIGHT`] bytes around it.
pub(crate) fn find_word<M: Memory + ?Sized, T>(
    memory: &M,
    ranges: &[Range],
    mut look: impl FnMut(&Window, Addr, u64) -> Option<T>,
) -> Result<Option<T>, MemoryError> {
    let mut window = Window::new();
    for range in ranges {
        let mut from = range.start.align_up(8);
        while from < range.end {
            let to = range.end.min(Addr(from.get().saturating_add(STEP)));
            let sight = Range::new(from - SIGHT, Addr(to.get().saturating_add(SIGHT))).intersect(*range);
            memory.window(sight, &mut window)?;
            while from < to {
                if let Some(word) = window.word(from)
                    && word != 0
                    && let Some(found) = look(&window, from, word)
                {
                    return Ok(Some(found));
                }
                from = from + 8;
            }
        }
    }
    Ok(None)
}
