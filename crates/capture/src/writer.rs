//! Writes a capture: frames, one after the other, never going back.
//!
//! Invariant: after each call the file is a capture that a reader opens; a frame reaches it in one write.
//! So, where the file is opened for appending, frames of several writers stand behind one another.

use std::io::{self, Write};

use alloc::vec::Vec;

use crate::codec::Encoder;
use crate::format::{MAGIC, VERSION};
use crate::frame::{FrameHeader, FrameKind, HEADER_BYTES, Packing};
use crate::record::Generation;

/// Fast, and within a tenth of what higher levels reach on records.
const LEVEL: i32 = 1;

/// Writes a capture.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    frame: Vec<u8>,
    written_bytes: u64,
    most_bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a capture: both clocks, read at one moment, in nanoseconds.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(mut out: W, wall_ns: u64, monotonic_ns: u64) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        let mut writer = Self::joining(out);
        writer.written_bytes = MAGIC.len() as u64;
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&wall_ns.to_le_bytes());
        payload[8..].copy_from_slice(&monotonic_ns.to_le_bytes());
        writer.store(FrameKind::Session, &payload, monotonic_ns)?;
        Ok(writer)
    }

    /// Adds frames to a capture that somebody else has begun, and may be writing: `out` must append.
    pub const fn joining(out: W) -> Self {
        Self { out, frame: Vec::new(), written_bytes: 0, most_bytes: u64::MAX }
    }

    /// The capture has so many bytes, and a frame that would make it larger than `most_bytes` is not written,
    /// but an error.
    pub const fn count_from(&mut self, written_bytes: u64, most_bytes: u64) {
        (self.written_bytes, self.most_bytes) = (written_bytes, most_bytes);
    }

    /// Writes the records of one process that `encoder` holds, and clears it. They must not be more than
    /// [`crate::FRAME_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn records(
        &mut self,
        generation: Generation,
        first_ns: u64,
        last_ns: u64,
        encoder: &mut Encoder,
    ) -> io::Result<()> {
        let (raw, n_records) = (encoder.bytes(), encoder.n_records());
        self.pack(FrameKind::Records, generation, (first_ns, last_ns), raw, n_records)?;
        encoder.clear();
        Ok(())
    }

    /// Writes sums that reach up to a moment, and clears `encoder`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn sums(&mut self, generation: Generation, until_ns: u64, encoder: &mut Encoder) -> io::Result<()> {
        let (raw, n_records) = (encoder.bytes(), encoder.n_records());
        self.pack(FrameKind::Sums, generation, (until_ns, until_ns), raw, n_records)?;
        encoder.clear();
        Ok(())
    }

    /// Writes a frame of another capture as it is there: its header and its records.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn copy(&mut self, header: &FrameHeader, raw: &[u8]) -> io::Result<()> {
        self.pack(header.kind, header.generation, (header.first_ns, header.last_ns), raw, header.n_records)
    }

    fn pack(
        &mut self,
        kind: FrameKind,
        generation: Generation,
        (first_ns, last_ns): (u64, u64),
        raw: &[u8],
        n_records: u32,
    ) -> io::Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let packed = zstd::bulk::compress(raw, LEVEL)?;
        let (packing, payload) =
            if packed.len() < raw.len() { (Packing::Zstd, &packed[..]) } else { (Packing::Stored, raw) };
        let header = FrameHeader {
            kind,
            packing,
            version: VERSION,
            generation,
            stored_bytes: payload.len() as u32,
            raw_bytes: raw.len() as u32,
            n_records,
            first_ns,
            last_ns,
            payload_crc: crc32fast::hash(payload),
        };
        self.append(&header, payload)
    }

    /// Leaves the capture without an end, and gives the file back.
    pub fn leave(self) -> W {
        self.out
    }

    /// Where it writes to.
    pub const fn out(&self) -> &W {
        &self.out
    }

    /// Says that recording ended in order, and gives the file back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn end(mut self, monotonic_ns: u64) -> io::Result<W> {
        self.store(FrameKind::End, &[], monotonic_ns)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Bytes written so far.
    pub const fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    fn store(&mut self, kind: FrameKind, payload: &[u8], ns: u64) -> io::Result<()> {
        let header = FrameHeader {
            kind,
            packing: Packing::Stored,
            version: VERSION,
            generation: Generation(0),
            stored_bytes: payload.len() as u32,
            raw_bytes: payload.len() as u32,
            n_records: 0,
            first_ns: ns,
            last_ns: ns,
            payload_crc: crc32fast::hash(payload),
        };
        self.append(&header, payload)
    }

    fn append(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.reserve(HEADER_BYTES + payload.len());
        self.frame.extend_from_slice(&header.encode());
        self.frame.extend_from_slice(payload);
        if self.written_bytes + self.frame.len() as u64 > self.most_bytes {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it would become larger than it may"));
        }
        self.out.write_all(&self.frame)?;
        self.written_bytes += self.frame.len() as u64;
        Ok(())
    }
}
