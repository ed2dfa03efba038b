//! `_Py_DebugOffsets`, the table of offsets that CPython 3.13 and later keep at the start of
//! `_PyRuntime` for readers like us.
//!
//! Invariant: validated here, once; trusted from then on. Only the head of the table is read: its
//! first groups have kept their order since 3.13, later ones differ between minor releases.
//!
//! Source: Include/internal/pycore_runtime.h at v3.13.0, pycore_debug_offsets.h at v3.14.0 and v3.15.2.

use super::PythonVersion;

/// What we need of the target's own offset table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugOffsets {
    /// The release that wrote the table.
    pub version: PythonVersion,
    /// Whether it is a free-threaded build (no GIL, no pymalloc).
    pub free_threaded: bool,
    /// `sizeof(_PyRuntimeState)`.
    pub runtime_size: u64,
    /// Of `interpreters.head` in `_PyRuntime`.
    pub interpreters_head: u64,
    /// `sizeof(PyInterpreterState)`.
    pub interpreter_size: u64,
    /// Of `id` in an interpreter.
    pub interpreter_id: u64,
    /// Of `next` in an interpreter.
    pub interpreter_next: u64,
}

impl DebugOffsets {
    /// The first bytes of every table.
    pub const COOKIE: [u8; 8] = *b"xdebugpy";
    /// Bytes to read.
    pub const SIZE: usize = 72;

    /// The largest structure size that is believed. 3.15's runtime has about 400 KB.
    const LARGEST: u64 = 1 << 24;

    /// Decodes the head of a table. `None` when the cookie is missing or an offset lies outside its
    /// structure.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let words = bytes.as_chunks::<8>().0;
        if words[0] != Self::COOKIE {
            return None;
        }
        let word = |index: usize| u64::from_le_bytes(words[index]);
        let offsets = Self {
            version: PythonVersion::from_hex(u32::try_from(word(1)).ok()?)?,
            free_threaded: word(2) != 0,
            runtime_size: word(3),
            interpreters_head: word(5),
            interpreter_size: word(6),
            interpreter_id: word(7),
            interpreter_next: word(8),
        };
        let inside = |offset: u64, size: u64| offset.is_multiple_of(8) && offset <= size.saturating_sub(8);
        let sound = offsets.runtime_size <= Self::LARGEST
            && offsets.interpreter_size <= Self::LARGEST
            && inside(offsets.interpreters_head, offsets.runtime_size)
            && inside(offsets.interpreter_id, offsets.interpreter_size)
            && inside(offsets.interpreter_next, offsets.interpreter_size);
        sound.then_some(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(words: [u64; 8]) -> [u8; DebugOffsets::SIZE] {
        let mut bytes = [0; DebugOffsets::SIZE];
        bytes[..8].copy_from_slice(&DebugOffsets::COOKIE);
        for (word, to) in words.iter().zip(bytes[8..].as_chunks_mut().0) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    #[test]
    fn offsets_outside_their_structure_are_refused() {
        let sound = [0x030d_00f0, 0, 391_872, 608, 632, 237_000, 16, 7264];
        assert_eq!(DebugOffsets::parse(&table(sound)).unwrap().interpreters_head, 632);
        for (index, value) in [(0, 7), (2, 600), (2, u64::MAX), (4, 633), (6, 1 << 40), (7, 236_999)] {
            let mut forged = sound;
            forged[index] = value;
            assert_eq!(DebugOffsets::parse(&table(forged)), None, "word {index} = {value}");
        }
        assert_eq!(DebugOffsets::parse(&[0; DebugOffsets::SIZE]), None);
    }
}
