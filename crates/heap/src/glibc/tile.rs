//! Walks the chunks of one extent, each starting where the one before ends.
//!
//! Invariant: every step moves forward by at least the smallest chunk, so the walk ends; it is
//! right only if it lands exactly on the top chunk or on the fencepost that ends the extent.
//!
//! A window is a copy made in a moment, the whole walk is not. Where a copy does not continue the
//! one before, the books go back to the start of that copy and it is made again.

use slackwater_base::{Addr, PAGE_SIZE, Range, Resident};
use slackwater_layout::glibc::chunk;
use slackwater_memory::Memory;

use super::broken::Broken;
use super::digests::Digests;
use super::extent::Extent;
use super::marks::{Cursor, Marks};
use super::tally::{Tally, TopRule, Use};
use super::view::View;

/// How often one copy is made again.
const MAX_RELOADS: u32 = 4;

/// Walks extents into books.
pub(super) struct Tiler<'a> {
    view: View<'a>,
    marks: &'a Marks,
    rule: TopRule,
    pub(super) tally: Tally,
    pub(super) hits: Cursor,
    pub(super) digests: Digests,
    /// Of the top chunk, once it was met.
    pub(super) returnable: Resident,
}

/// Where a walk over a window began, to go back to.
#[derive(Clone, Copy)]
struct Checkpoint {
    at: Addr,
    tally: Tally,
    hits: Cursor,
    digests: super::digests::Mark,
}

impl<'a> Tiler<'a> {
    pub(super) fn new(memory: &'a dyn Memory, marks: &'a Marks, rule: TopRule) -> Self {
        Self {
            view: View::new(memory),
            marks,
            rule,
            tally: Tally::default(),
            hits: Cursor::default(),
            digests: Digests::default(),
            returnable: Resident::default(),
        }
    }

    /// Walks one extent. Extents come in address order. Where the main arena was cut off by another
    /// user of the program break, the walk stops: the address is where foreign memory begins.
    pub(super) fn extent(&mut self, extent: &Extent) -> Result<Option<Addr>, Broken> {
        self.view.begin(extent.range.end);
        self.digests.begin(extent.range);
        self.hits.skip_to(self.marks, extent.first);
        let mut checkpoint = self.checkpoint(extent.first);
        self.view.load(extent.first, u64::MAX)?;
        let before_first = Range::new(extent.range.start, chunk::SIZE.of(extent.first));
        self.tally.overhead(&self.view, before_first)?;
        let mut reloads = 0;
        loop {
            match self.window(extent, checkpoint.at) {
                Ok(Step::Done) => return Ok(None),
                Ok(Step::CutOff(at)) => return Ok(Some(at)),
                Ok(Step::Window { at, n_chunks }) => {
                    checkpoint = self.checkpoint(at);
                    reloads = 0;
                    self.view.load(at, n_chunks)?;
                }
                Err(error) if error.may_pass() && reloads < MAX_RELOADS => {
                    reloads += 1;
                    self.tally = checkpoint.tally;
                    self.hits = checkpoint.hits;
                    self.digests.rewind(checkpoint.digests);
                    self.view.load(checkpoint.at, u64::MAX)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The links of the chunk at `at`, if it is in a bin.
    fn links(&self, at: Addr) -> Result<(Addr, Addr), Broken> {
        let next = self.view.word(chunk::FD.of(at))?;
        let previous = self.view.word(chunk::BK.of(at))?;
        Ok((Addr(next), Addr(previous)))
    }

    fn checkpoint(&self, at: Addr) -> Checkpoint {
        Checkpoint { at, tally: self.tally, hits: self.hits, digests: self.digests.mark() }
    }

    /// Walks from the chunk at `at` until the window ends.
    fn window(&mut self, extent: &Extent, mut at: Addr) -> Result<Step, Broken> {
        let mut n_chunks = 0;
        loop {
            if extent.top == Some(at) {
                self.returnable = self.tally.top(&self.view, at, extent.range.end, self.rule)?;
                return Ok(Step::Done);
            }
            let head = self.view.word(chunk::SIZE.of(at))?;
            let bytes = head & !chunk::FLAGS;
            let left = extent.range.end.offset_from(at);
            if bytes == 0 && extent.top.is_none() && left < chunk::MIN_BYTES {
                self.tally.fence(&self.view, at, extent.range.end)?;
                return Ok(Step::Done);
            }
            if bytes == chunk::HEADER_BYTES && extent.top.is_some() {
                let after = at + chunk::HEADER_BYTES;
                if !self.view.has_header(after) && n_chunks > 0 {
                    return Ok(Step::Window { at, n_chunks });
                }
                let end = after + chunk::HEADER_BYTES;
                let is_double = self.view.word(chunk::SIZE.of(after))? & !chunk::FLAGS == bytes;
                if is_double && end.is_aligned(PAGE_SIZE) && end < extent.range.end {
                    self.tally.fence(&self.view, at, end)?;
                    return Ok(Step::CutOff(end));
                }
            }
            let is_fence = bytes == chunk::HEADER_BYTES && left < 2 * chunk::MIN_BYTES;
            if head & chunk::IS_MMAPPED != 0
                || !bytes.is_multiple_of(chunk::ALIGN)
                || bytes < chunk::MIN_BYTES && !is_fence
                || bytes >= left
            {
                return Err(Broken::torn(at, "a chunk of impossible size"));
            }
            let next = at + bytes;
            let has_next = self.view.has_header(next);
            let mut links = None;
            if !has_next {
                if n_chunks > 0 {
                    return Ok(Step::Window { at, n_chunks });
                }
                // The window holds nothing but this chunk: its links are taken, and the next header
                // is read on its own.
                links = Some(self.links(at));
                self.view.load(next, 0)?;
            }
            let after = self.view.word(chunk::SIZE.of(next))?;
            let usage = if is_fence {
                Use::Own
            } else if after & chunk::PREV_INUSE != 0 {
                self.hits.usage(self.marks, at)
            } else {
                if self.view.word(next)? != bytes {
                    return Err(Broken::torn(next, "a free chunk whose end does not know its size"));
                }
                let (next, previous) = links.unwrap_or_else(|| self.links(at))?;
                Use::Free { next, previous }
            };
            self.digests.add(at, next, head ^ (after & chunk::PREV_INUSE) << 3);
            self.tally.chunk(&self.view, at, bytes, usage)?;
            n_chunks += 1;
            at = next;
            if !has_next {
                return Ok(Step::Window { at, n_chunks: 0 });
            }
        }
    }
}

enum Step {
    /// The extent's end.
    Done,
    /// Two fenceposts in a row: memory of others begins there.
    CutOff(Addr),
    /// The window's end: the next one starts with the chunk at `at`.
    Window { at: Addr, n_chunks: u64 },
}
