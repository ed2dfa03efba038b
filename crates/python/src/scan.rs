//! Searches data for a structure, word by word, with bounded memory of our own.

use slackwater_base::{Addr, Range};
use slackwater_memory::{Memory, MemoryError, WINDOW_BYTES, Window};

/// The first answer that `look` gives for an aligned, resident word of `ranges`.
pub(crate) fn find_word<M: Memory + ?Sized, T>(
    memory: &M,
    ranges: &[Range],
    mut look: impl FnMut(Addr, u64) -> Option<T>,
) -> Result<Option<T>, MemoryError> {
    let mut window = Window::new();
    for range in ranges {
        let mut from = range.start.align_up(8);
        while from < range.end {
            let to = range.end.min(Addr(from.get().saturating_add(WINDOW_BYTES)));
            memory.window(Range::new(from, to), &mut window)?;
            while from < to {
                if let Some(word) = window.word(from)
                    && word != 0
                    && let Some(found) = look(from, word)
                {
                    return Ok(Some(found));
                }
                from = from + 8;
            }
        }
    }
    Ok(None)
}
