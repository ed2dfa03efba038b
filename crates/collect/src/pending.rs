//! Records of one process that wait to be written; and, where captures are to be readable one by one,
//! those that later ones refer to.
//!
//! Invariant: what is kept is what the process is, its stacks and their lines of code, never an event; it
//! grows with distinct code, not with time.

use std::io::{self, Write};

use slackwater_capture::{Allocation, Encoder, Generation, Record, Writer};

/// A frame of definitions is closed when it has so many bytes.
const FRAME_BYTES: usize = 256 << 10;

/// What waits, and what is kept.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    encoder: Encoder,
    definitions: Option<Definitions>,
}

/// Definitions, in frames that are full and one that is not.
#[derive(Clone, Debug, Default)]
struct Definitions {
    full: Vec<Encoder>,
    open: Encoder,
}

impl Pending {
    /// Keeps definitions from now on.
    pub(crate) fn keep_definitions(&mut self) {
        self.definitions.get_or_insert_default();
    }

    pub(crate) fn put(&mut self, record: &Record<'_>) {
        self.encoder.put(record);
        if let Some(definitions) = self.definitions.as_mut().filter(|_| record.is_definition()) {
            definitions.open.put(record);
            if definitions.open.bytes().len() >= FRAME_BYTES {
                definitions.full.push(std::mem::take(&mut definitions.open));
            }
        }
    }

    #[inline]
    pub(crate) fn allocation(&mut self, allocation: &Allocation) {
        self.encoder.allocation(allocation);
    }

    #[inline]
    pub(crate) fn free(&mut self, addr: u64, tid: u32) {
        self.encoder.free(addr, tid);
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.encoder.bytes().len()
    }

    pub(crate) const fn n_records(&self) -> u32 {
        self.encoder.n_records()
    }

    /// Writes what waits.
    pub(crate) fn flush<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        generation: Generation,
        first_ns: u64,
        last_ns: u64,
    ) -> io::Result<()> {
        writer.records(generation, first_ns, last_ns, &mut self.encoder)
    }

    /// Writes the definitions so far into another capture.
    pub(crate) fn repeat<W: Write>(
        &self,
        writer: &mut Writer<W>,
        generation: Generation,
        now_ns: u64,
    ) -> io::Result<()> {
        let Some(definitions) = &self.definitions else { return Ok(()) };
        for frame in definitions.full.iter().chain([&definitions.open]) {
            writer.records(generation, now_ns, now_ns, &mut frame.clone())?;
        }
        Ok(())
    }
}
