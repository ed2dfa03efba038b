//! The walk over all arenas of one pymalloc.

use slackwater_base::{Ledger, Partial, PinnedBy, Range};
use slackwater_layout::cpython::PymallocState;
use slackwater_memory::Memory;

use super::PymallocError;
use super::arena::{Reader, Reading};
use super::gaps::Gaps;
use super::table::slots;
use crate::{Allocator, Blocks, Heap};

/// The books of the pymalloc whose state lies at `state`: live blocks, pinned slack and overhead, to
/// the byte. pymalloc hands nothing back when asked, so none of its slack is trimmable.
///
/// # Errors
/// When its list of arenas cannot be read or is damaged, or the target cannot be read at all.
/// Trouble with single arenas and pools is a gap; their resident bytes are then unexplained.
pub fn walk<M: Memory + ?Sized>(memory: &M, state: &PymallocState) -> Result<Partial<Heap>, PymallocError> {
    let mut gaps = Gaps::default();
    let mut heap = Heap {
        allocator: Allocator::Pymalloc,
        arenas: Vec::new(),
        ledger: Ledger::default(),
        pinned_by: PinnedBy::default(),
        live: Blocks::default(),
        claims: Vec::new(),
    };
    let mut reader = Reader::new(memory, state);
    for slot in slots(memory, state, &mut gaps)? {
        let failed = |source| PymallocError::ReadArena { addr: slot.address, source };
        let Some(Reading { arena, trouble }) = reader.read(slot).map_err(failed)? else {
            continue;
        };
        if let Some(trouble) = trouble {
            gaps.arena(slot.address, trouble.to_string());
        }
        heap.ledger += &arena.ledger;
        heap.pinned_by += &arena.pinned_by;
        heap.live.count += arena.live.count;
        heap.live.bytes += arena.live.bytes;
        heap.claims.push(Range::sized(slot.address, state.geometry.arena_bytes));
        heap.arenas.push(arena);
    }
    Ok(Partial { value: heap, gaps: gaps.finish() })
}
