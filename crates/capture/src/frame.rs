//! The header of a frame. See [`crate::format`].

use crate::format::FRAME_MAGIC;
use crate::record::Generation;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 48;

/// The largest payload, packed or unpacked, that is believed.
pub const FRAME_BYTES_MAX: u32 = 4 << 20;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// One moment on both clocks. The first frame.
    Session,
    /// Records of one process.
    Records,
    /// Recording ended in order. The last frame.
    End,
    /// Sums of one process, or of the recording, up to one moment: records too.
    Sums,
    /// Something of a later release.
    Unknown(u8),
}

/// How a payload is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Packing {
    Stored,
    Zstd,
}

/// A frame's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// What the frame holds.
    pub kind: FrameKind,
    pub(crate) packing: Packing,
    /// The encoding of its records.
    pub version: u16,
    /// Whose records; 0 for session and end.
    pub generation: Generation,
    /// Bytes of the payload in the file.
    pub stored_bytes: u32,
    /// Bytes of the payload, unpacked.
    pub raw_bytes: u32,
    /// Records in it.
    pub n_records: u32,
    /// Time of the first record.
    pub first_ns: u64,
    /// Time of the last one.
    pub last_ns: u64,
    pub(crate) payload_crc: u32,
}

impl FrameKind {
    /// Whether its payload is records.
    pub const fn has_records(self) -> bool {
        matches!(self, Self::Records | Self::Sums)
    }
}

impl FrameHeader {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4] = match self.kind {
            FrameKind::Session => 1,
            FrameKind::Records => 2,
            FrameKind::End => 3,
            FrameKind::Sums => 4,
            FrameKind::Unknown(kind) => kind,
        };
        bytes[5] = match self.packing {
            Packing::Stored => 0,
            Packing::Zstd => 1,
        };
        bytes[6..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.generation.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.n_records.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_ns.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in these bytes; `None` unless magic number, checksum and limits are right.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..4] != FRAME_MAGIC || crc32fast::hash(&bytes[..44]) != word(44) {
            return None;
        }
        let header = Self {
            kind: match bytes[4] {
                1 => FrameKind::Session,
                2 => FrameKind::Records,
                3 => FrameKind::End,
                4 => FrameKind::Sums,
                other => FrameKind::Unknown(other),
            },
            packing: match bytes[5] {
                0 => Packing::Stored,
                1 => Packing::Zstd,
                _ => return None,
            },
            version: u16::from_le_bytes([bytes[6], bytes[7]]),
            generation: Generation(word(8)),
            stored_bytes: word(12),
            raw_bytes: word(16),
            n_records: word(20),
            first_ns: long(24),
            last_ns: long(32),
            payload_crc: word(40),
        };
        let sound = header.stored_bytes <= FRAME_BYTES_MAX && header.raw_bytes <= FRAME_BYTES_MAX;
        sound.then_some(header)
    }
}
