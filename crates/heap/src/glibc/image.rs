//! The files a process maps, seen as candidates for the C library: their writable data.
//!
//! Invariant: only resident pages are looked at. What malloc has written is resident or swapped.

use std::path::PathBuf;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{FileId, Kind, Mapping, Memory, MemoryError, Sharing, WINDOW_BYTES, Window};

/// Most bytes of one file's data that are searched.
const MAX_DATA_BYTES: u64 = 64 << 20;
/// Most bytes of a `.bss` behind a file's data that are searched.
const MAX_BSS_BYTES: u64 = 4 << 20;

/// One file's writable data.
#[derive(Clone, Debug)]
pub(super) struct DataArea {
    /// The file.
    pub(super) file: FileId,
    /// Its name in the target.
    pub(super) path: PathBuf,
    /// Where the data lies: the file's writable map and the anonymous one right behind it.
    pub(super) range: Range,
}

/// The writable data of every mapped file.
pub(super) fn data_areas(memory: &dyn Memory) -> Vec<DataArea> {
    let mappings = memory.mappings();
    let mut areas = Vec::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let Kind::File { path, id, .. } = &mapping.kind else { continue };
        if !mapping.access.write || mapping.sharing != Sharing::Private {
            continue;
        }
        let mut range =
            Range::new(mapping.range.start, mapping.range.end.min(mapping.range.start + MAX_DATA_BYTES));
        if let Some(bss) = mappings.get(index + 1).filter(|next| is_bss_of(next, mapping)) {
            range.end = bss.range.end.min(bss.range.start + MAX_BSS_BYTES);
        }
        areas.push(DataArea { file: *id, path: path.clone(), range });
    }
    areas
}

fn is_bss_of(next: &Mapping, data: &Mapping) -> bool {
    matches!(next.kind, Kind::Anonymous { .. })
        && next.is_anonymous_data()
        && next.range.start == data.range.end
}

/// Calls `look` with windows that together cover `range`, each overlapping the next by `overlap`
/// bytes, and with the addresses that belong to this window alone. Returns the first answer.
pub(super) fn search<T>(
    memory: &dyn Memory,
    range: Range,
    overlap: u64,
    mut look: impl FnMut(&Window, Range) -> Option<T>,
) -> Result<Option<T>, MemoryError> {
    let mut window = Window::new();
    let mut from = range.start;
    while from < range.end {
        let end = Addr(from.align_down(PAGE_SIZE).0.saturating_add(WINDOW_BYTES)).min(range.end);
        memory.window(Range::new(from, end), &mut window)?;
        let own_end = if end < range.end { end - overlap } else { end };
        if let Some(answer) = look(&window, Range::new(from, own_end)) {
            return Ok(Some(answer));
        }
        from = own_end;
    }
    Ok(None)
}

/// The first page of the areas that is on swap, where something may have been missed.
pub(super) fn swapped_page(memory: &dyn Memory, areas: &[DataArea]) -> Result<Option<Addr>, MemoryError> {
    for area in areas {
        let found = search(memory, area.range, 0, |window, own| {
            let index = window.pages().iter().position(|page| page.is_swapped())?;
            Some(own.start.align_down(PAGE_SIZE) + index as u64 * PAGE_SIZE)
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
