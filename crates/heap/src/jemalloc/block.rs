//! The library's block: where it lies, and a copy of it that is of one moment.

use std::time::Duration;

use slackwater_base::Addr;
use slackwater_layout::slackwater::{SYMBOL, Snapshot};
use slackwater_memory::{Memory, MemoryExt, Symbols};

use super::JemallocError;

/// Beginning of the library's file name.
const FILE: &str = "libslackwater_alloc";
/// How often a block is read that is being written.
const ATTEMPTS: u32 = 8;
/// How long the writer is left alone after that.
const PAUSE: Duration = Duration::from_micros(200);

/// Where the block of the library lies that is mapped, if one is.
pub fn find_block(memory: &dyn Memory, symbols: &dyn Symbols) -> Option<Addr> {
    let mut libraries = memory
        .mappings()
        .iter()
        .filter(|mapping| mapping.file_name().is_some_and(|name| name.starts_with(FILE)));
    let file = libraries.find_map(slackwater_memory::Mapping::file)?;
    symbols.symbol(file, SYMBOL).map(|range| range.start)
}

/// The block at `addr`, all of it as it was at one moment.
///
/// # Errors
/// When it cannot be read, is none, or is of another version.
pub fn read_block(memory: &dyn Memory, addr: Addr) -> Result<Snapshot, JemallocError> {
    let failed = |source| JemallocError::ReadBlock { addr, source };
    let mut bytes = [0; Snapshot::BYTES];
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            memory.let_run(PAUSE);
        }
        memory.read(addr, &mut bytes).map_err(failed)?;
        let snapshot = Snapshot::parse(&bytes).map_err(|source| JemallocError::Block { addr, source })?;
        let after = memory.read_u32(Snapshot::SEQUENCE.of(addr)).map_err(failed)?;
        if !snapshot.is_torn() && snapshot.sequence == after {
            return Ok(snapshot);
        }
    }
    Err(JemallocError::Torn { addr })
}
