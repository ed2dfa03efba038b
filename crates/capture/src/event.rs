//! The bytes of one allocation or free, written where they stay: nearly all that an exact recording writes
//! are these.
//!
//! Invariant: no event is longer than `MOST`: two codes, two numbers of 64 bits and a difference of 32.

use alloc::vec::Vec;

/// Bytes for the longest event: 2 + 10 + 10 + 5, and some so that it is a power of two.
const MOST: usize = 32;

/// Appends an event: `write` is handed as many bytes as the longest one takes, and says how many it took.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Event<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; MOST]);
    let mut n_bytes = 0;
    if let Some(bytes) = out.last_chunk_mut() {
        let mut event = Event { bytes, n_bytes: 0 };
        write(&mut event);
        n_bytes = event.n_bytes;
    }
    out.truncate(start + n_bytes);
}

/// An event that is being written.
pub(crate) struct Event<'a> {
    bytes: &'a mut [u8; MOST],
    n_bytes: usize,
}

impl Event<'_> {
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes[self.n_bytes % MOST] = byte;
        self.n_bytes += 1;
    }

    /// As [`crate::varint::put`].
    #[inline]
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// As [`crate::varint::put_signed`].
    #[inline]
    pub(crate) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }
}
