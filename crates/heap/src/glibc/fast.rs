//! Follows the fast bins of one arena.

use slackwater_base::Addr;
use slackwater_layout::glibc::{Release, chunk};

use super::broken::Broken;
use super::extent::Extents;
use super::pages::Pages;
use super::state::State;

/// Most chunks followed in one arena. Each costs 8 bytes of our own memory.
const MAX_CHUNKS: usize = 1 << 21;

/// Every chunk in the fast bins.
pub(super) fn chunks(
    pages: &Pages,
    release: &Release,
    state: &State,
    extents: &Extents,
) -> Result<Vec<Addr>, Broken> {
    let mut chunks = Vec::new();
    for (bytes, first) in state.fastbins() {
        let mut at = first;
        while !at.is_null() {
            if !at.is_aligned(chunk::ALIGN) || !extents.contains(at) {
                return Err(Broken::torn(at, "a fast bin's link out of its arena"));
            }
            if pages.word(chunk::SIZE.of(at))? & !chunk::FLAGS != bytes {
                return Err(Broken::torn(at, "a chunk in the wrong fast bin"));
            }
            if chunks.len() == MAX_CHUNKS {
                return Err(Broken::Unsupported("its fast bins hold too many chunks, or a ring of them"));
            }
            chunks.push(at);
            at = next(pages, release, chunk::FD.of(at))?;
        }
    }
    Ok(chunks)
}

/// The link stored at `position`.
pub(super) fn next(pages: &Pages, release: &Release, position: Addr) -> Result<Addr, Broken> {
    let stored = pages.word(position)?;
    Ok(if release.protects_links() { chunk::reveal(stored, position) } else { Addr(stored) })
}
