//! The page map's words, by address.
//!
//! Invariant: the leaves handed out are disjoint and lie in private anonymous memory, so that a forged
//! root cannot make us read more than the target has.

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_layout::jemalloc::{LEAF_BYTES, LEAF_SPAN_BYTES, LeafWord, ROOT, ROOT_ENTRIES};
use slackwater_memory::{Memory, MemoryError, MemoryExt, WINDOW_BYTES, Window};

use super::JemallocError;
use super::extents::is_inside;

/// A leaf: the words of one GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Leaf {
    /// The addresses it covers.
    pub(super) covers: Range,
    table: Addr,
}

impl Leaf {
    const fn tables(&self) -> Range {
        Range::sized(self.table, LEAF_BYTES)
    }

    fn word_of(self, page: Addr) -> Addr {
        self.table + page.offset_from(self.covers.start) / PAGE_SIZE * 8
    }

    fn page_of(self, word: Addr) -> Addr {
        self.covers.start + word.offset_from(self.table) / 8 * PAGE_SIZE
    }
}

/// The leaves of a page map, by the addresses they cover.
pub(super) struct Leaves {
    pub(super) leaves: Vec<Leaf>,
    /// Those that lie where nothing was mapped when the list of mappings was read.
    pub(super) n_missing: usize,
}

/// The leaves that the page map at `page_map` points to.
pub(super) fn leaves(
    memory: &dyn Memory,
    page_map: Addr,
    anonymous: &[Range],
) -> Result<Leaves, JemallocError> {
    let failed = |source| JemallocError::ReadPageMap { addr: page_map, source };
    let root = Range::sized(ROOT.of(page_map), ROOT_ENTRIES * 8);
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut window = Window::new();
    // Most of the root has never been touched.
    for part in memory.occupied(root).map_err(failed)? {
        let part = part.align_out(8).intersect(root);
        let mut from = part.start;
        while from < part.end {
            let to = part.end.min(from.align_down(PAGE_SIZE) + WINDOW_BYTES);
            memory.window(Range::new(from, to), &mut window).map_err(failed)?;
            while from < to {
                let table = Addr(window.word(from).unwrap_or_default());
                if !table.is_null() {
                    let index = from.offset_from(root.start) / 8;
                    let covers = Range::sized(Addr(index * LEAF_SPAN_BYTES), LEAF_SPAN_BYTES);
                    leaves.push(Leaf { covers, table });
                }
                from = from + 8;
            }
        }
    }
    if leaves.is_empty() {
        return Err(JemallocError::Unbalanced { addr: page_map, what: "its page map is empty" });
    }
    let n_all = leaves.len();
    leaves.retain(|leaf| leaf.table.is_aligned(8) && is_inside(anonymous, leaf.tables()));
    let mut tables: Vec<Range> = leaves.iter().map(|leaf| leaf.tables()).collect();
    tables.sort_unstable();
    if tables.is_empty() || tables.windows(2).any(|pair| pair[0].end > pair[1].start) {
        let what = "its page map points to what is no part of it";
        return Err(JemallocError::Unbalanced { addr: page_map, what });
    }
    Ok(Leaves { n_missing: n_all - leaves.len(), leaves })
}

/// Reads the words of a leaf in ascending order, and single ones anew.
pub(super) struct Words<'a> {
    memory: &'a dyn Memory,
    window: Window,
}

impl<'a> Words<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, window: Window::new() }
    }

    /// The first page from `from` on, and before `end`, that has an extent, and its word.
    pub(super) fn next(
        &mut self,
        leaf: Leaf,
        from: Addr,
        end: Addr,
    ) -> Result<Option<(Addr, LeafWord)>, MemoryError> {
        let mut at = leaf.word_of(from);
        let last = leaf.word_of(end);
        while at < last {
            if !self.window.range().contains(at) {
                let start = at.align_down(PAGE_SIZE);
                let to = last.align_up(PAGE_SIZE).min(start + WINDOW_BYTES);
                self.memory.window(Range::new(start, to), &mut self.window)?;
            }
            match self.window.word(at) {
                // No word was ever written into this page of the leaf.
                None => at = at.align_down(PAGE_SIZE) + PAGE_SIZE,
                Some(word) if LeafWord(word).extent().is_some() => {
                    return Ok(Some((leaf.page_of(at), LeafWord(word))));
                }
                Some(_) => at = at + 8,
            }
        }
        Ok(None)
    }

    /// The word of `page`, as it was when the window was loaded; `None` when that is not known.
    pub(super) fn seen(&self, leaf: Leaf, page: Addr) -> Option<LeafWord> {
        if !leaf.covers.contains(page) {
            return None;
        }
        self.window.word(leaf.word_of(page)).map(LeafWord)
    }

    /// The word of `page` as it is now; `None` when it cannot be read.
    pub(super) fn now(&self, leaf: Leaf, page: Addr) -> Option<LeafWord> {
        if !leaf.covers.contains(page) {
            return None;
        }
        self.memory.read_u64(leaf.word_of(page)).ok().map(LeafWord)
    }
}
