//! Descriptions of extents, read by the page full: they lie side by side in jemalloc's metadata.

use std::collections::HashMap;

use slackwater_base::{Addr, Range};
use slackwater_layout::jemalloc::Extent;
use slackwater_memory::{Mapping, Memory};

/// Bytes read at a time.
const SHEET_BYTES: u64 = 16 << 10;
/// Most sheets kept: 8 MiB of ours, whatever the size of the heap.
const MOST_SHEETS: usize = 512;

/// Reads descriptions of extents.
pub(super) struct Extents<'a> {
    memory: &'a dyn Memory,
    sheets: HashMap<Addr, Box<[u8]>>,
}

impl<'a> Extents<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, sheets: HashMap::new() }
    }

    /// The extent described at `addr`, as it was when its surroundings were read.
    pub(super) fn seen(&mut self, addr: Addr) -> Option<Extent> {
        let start = addr.align_down(SHEET_BYTES);
        if !self.sheets.contains_key(&start) {
            let mut sheet = vec![0; SHEET_BYTES as usize].into_boxed_slice();
            if self.memory.read(start, &mut sheet).is_err() {
                // A part of it is not mapped.
                return self.now(addr);
            }
            if self.sheets.len() >= MOST_SHEETS {
                self.sheets.clear();
            }
            self.sheets.insert(start, sheet);
        }
        let from = addr.offset_from(start) as usize;
        Extent::parse(self.sheets.get(&start)?.get(from..)?.first_chunk()?)
    }

    /// The extent described at `addr`, as it is now.
    pub(super) fn now(&self, addr: Addr) -> Option<Extent> {
        let mut bytes = [0; Extent::BYTES];
        self.memory.read(addr, &mut bytes).ok()?;
        Extent::parse(&bytes)
    }
}

/// The stretches of private anonymous memory, each as long as it goes, sorted.
pub(super) fn anonymous(mappings: &[Mapping]) -> Vec<Range> {
    let mut spans: Vec<Range> = Vec::new();
    for mapping in mappings.iter().filter(|mapping| mapping.is_anonymous_data()) {
        match spans.last_mut() {
            Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
            _ => spans.push(mapping.range),
        }
    }
    spans
}

/// Whether `range` lies in one of `spans` (sorted, disjoint) as a whole.
pub(super) fn is_inside(spans: &[Range], range: Range) -> bool {
    let after = spans.partition_point(|span| span.start <= range.start);
    !range.is_empty() && spans[..after].last().is_some_and(|span| span.covers(range))
}
